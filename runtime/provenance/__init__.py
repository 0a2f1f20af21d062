"""What says of a saved file that a model made it, and what reads that back.

Every image and video carries standard tags (`tags.py`: IPTC's DigitalSourceType in XMP) and, where
c2pa-python is installed, a signed C2PA manifest (`manifest.py`), so that a later change shows.
"""
