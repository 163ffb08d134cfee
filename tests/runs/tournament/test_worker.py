import pytest

from runs.tournament.worker import widened

RAY = {"executor": "ray", "device": "cuda", "workers": 1}


@pytest.mark.parametrize(
    ("execution", "places", "children", "workers"),
    [
        (RAY, 1, 3, 1),
        (RAY, 2, 3, 2),
        (RAY, 8, 3, 3),
        (RAY, 8, 1, 1),
        (RAY | {"workers": 4}, 2, 3, 4),
    ],
)
def test_islands_that_are_left_get_the_places_of_those_that_ended(
    execution, places, children, workers
):
    assert widened(execution, places, children) == execution | {"workers": workers}


def test_a_process_with_its_own_device_has_one_replica():
    local = {"executor": "local", "device": "cuda"}
    assert widened(local, 8, 3) == local
