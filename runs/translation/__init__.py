"""Use of translators: image files in and out, scores against the partners, pages of both."""
