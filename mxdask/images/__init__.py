"""Where every frame lies, how it is unpacked, and which of its pixels count."""

from mxdask.images.files import image_files
from mxdask.images.stack import ImageStack, StackReader, open_stack

__all__ = ["ImageStack", "StackReader", "image_files", "open_stack"]
