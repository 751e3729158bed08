"""The runtime: where a graph runs, how it reports, how it resumes."""

from mxdask.flow.failed import Failed
from mxdask.flow.runtime import Flow

__all__ = ["Failed", "Flow"]
