"""One self-contained html page from the summaries of the steps.

``reading`` takes numbers out of summaries without trusting them, ``markup`` and ``plots`` turn them into tables and
figures, ``sections`` say what is shown of each step, ``page`` puts it together.
"""
