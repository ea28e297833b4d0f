"""How well `tproxyctl check` does on the necessity table: what it found, false alarms, what it fixed.

The score of a case is a property of its test report, so that it is counted in whichever process the test ran.
"""

PROPERTY = "check"


def of(expected, named):
    """The score of a case where check must name `expected` and has named `named`; not fixed yet."""
    return {
        "broken": bool(expected),
        "found": set(expected) <= set(named),
        "false": len(set(named) - set(expected)),
        "fixed": False,
    }


def summary(reports):
    """One line about all of them; "" where there is none."""
    scores = [value for report in reports for name, value in report.user_properties if name == PROPERTY]
    if not scores:
        return ""
    broken = [each for each in scores if each["broken"]]
    found = sum(each["found"] for each in broken)
    false = sum(each["false"] for each in scores)
    fixed = sum(each["fixed"] for each in broken)
    return (
        f"check: {found}/{len(broken)} broken set-ups found, {false}/{len(scores)} false alarms, "
        f"{fixed}/{len(broken)} fixed by the commands printed"
    )
