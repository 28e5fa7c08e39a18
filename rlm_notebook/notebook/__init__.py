"""The Jupyter layer: the only one that imports IPython and anywidget."""
