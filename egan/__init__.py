"""Where GANs meet evolution: state, engine, mutations, networks, data."""
