"""A page in the browser on which runs are played with.

What images result from which controls is in plain functions here; Gradio is in `page.py` alone.
"""
