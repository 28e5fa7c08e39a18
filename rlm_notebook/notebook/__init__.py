"""The face in Jupyter: the only layer that knows IPython and anywidget."""
