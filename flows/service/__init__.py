"""What a tracked run is made of: steps as Prefect tasks, signs of life, artifacts, notices, the
clean-up of silent runs.
"""
