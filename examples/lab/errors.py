"""What can go wrong in the lab, said in one line."""


class LabError(Exception):
    """The machine cannot run the lab, or a command in it failed; the text says what and why."""
