"""Use of translators: translation of image files, scores on test images, a page of them."""
