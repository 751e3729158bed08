"""A forward model with known truth: rotation images of many crystals for the demo, tests and benchmarks.

``params`` says what a set is, ``step.make`` writes it, ``spots`` gives reflections without images, ``compare``
holds results against the truth. Nothing here imports a step of the pipeline.
"""
