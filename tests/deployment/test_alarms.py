"""Metric filters and alarms, which moto does not know: held against the lines that the daemon really writes.

The lines are the snapshots that the test of the daemon keeps (tests/it/daemon.rs).
"""

import json
import re

import pytest
from conftest import ROOT, template

RESOURCES = template("03-ec2.yml")["Resources"]


def line(name):
    text = (ROOT / f"tests/it/snapshots/it__daemon__{name}.snap").read_text()
    return json.loads(text.split("\n---\n", 1)[1])


GOOD, FAILED = line("heartbeat_good"), line("heartbeat_failed")
# Before the first run there is nothing to count.
FIRST = {key: value for key, value in GOOD.items() if key not in ("hours_since_success", "last_run_failed")}
OTHER = {"level": "INFO", "message": "run begins", "run_id": "20261129T050000.000Z", "target": "ghbk::backup"}


def matches(pattern, event):
    """Judges as CloudWatch Logs does, as far as our patterns go: `{ $.name = "text" && $.name >= number }`."""
    terms = re.fullmatch(r"\{ (.+) \}", pattern).group(1).split(" && ")
    for term in terms:
        name, operator, value = re.fullmatch(r"\$\.(\w+) (=|>=) (.+)", term).groups()
        found = event.get(name)
        if operator == "=" and found != json.loads(value):
            return False
        if operator == ">=" and not (isinstance(found, (int, float)) and found >= float(value)):
            return False
    return True


def metric(name, event):
    """The figure that an event gives to a metric, none if it gives none."""
    for resource in RESOURCES.values():
        if resource["Type"] != "AWS::Logs::MetricFilter":
            continue
        properties = resource["Properties"]
        (transformation,) = properties["MetricTransformations"]
        if transformation["MetricName"] == name:
            if not matches(properties["FilterPattern"], event):
                return None
            value = transformation["MetricValue"]
            return event[value.removeprefix("$.")] if value.startswith("$.") else float(value)
    raise AssertionError(f"no filter makes {name}")


def alarm(name):
    return RESOURCES[name]["Properties"]


def is_breached(properties, figure):
    threshold = float(properties["Threshold"])
    return {
        "GreaterThanThreshold": figure > threshold,
        "GreaterThanOrEqualToThreshold": figure >= threshold,
        "LessThanThreshold": figure < threshold,
    }[properties["ComparisonOperator"]]


def test_the_figures_come_from_the_heartbeat():
    assert metric("HoursSinceSuccess", GOOD) == 0.0
    assert metric("LastRunFailed", GOOD) == 0
    assert metric("LastRunFailed", FAILED) == 1
    assert metric("Heartbeats", FIRST) == 1
    assert metric("HoursSinceSuccess", FIRST) is None and metric("LastRunFailed", FIRST) is None
    for name in ("Heartbeats", "HoursSinceSuccess", "LastRunFailed"):
        assert metric(name, OTHER) is None


def test_a_failed_run_alarms_until_one_is_good():
    properties = alarm("LastRunFailedAlarm")
    assert is_breached(properties, metric("LastRunFailed", FAILED))
    assert not is_breached(properties, metric("LastRunFailed", GOOD))
    assert properties["TreatMissingData"] == "ignore"


def test_eight_days_without_success_alarm():
    properties = alarm("NoSuccessAlarm")
    eight_days = 8 * 24
    assert not is_breached(properties, metric("HoursSinceSuccess", {**GOOD, "hours_since_success": eight_days}))
    assert is_breached(properties, metric("HoursSinceSuccess", {**GOOD, "hours_since_success": eight_days + 0.1}))
    assert properties["TreatMissingData"] == "breaching"


def test_a_silent_daemon_alarms():
    properties = alarm("ServiceDeadAlarm")
    assert properties["TreatMissingData"] == "breaching"
    assert not is_breached(properties, metric("Heartbeats", GOOD))
    assert properties["Period"] * properties["EvaluationPeriods"] == 3 * 3600


@pytest.mark.parametrize("name", [n for n, r in RESOURCES.items() if r["Type"] == "AWS::CloudWatch::Alarm"])
def test_every_alarm_reaches_people_and_looks_where_a_filter_writes(name):
    properties = alarm(name)
    assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": "AlarmTopic"}]
    written = {
        (transformation["MetricNamespace"]["Fn::Sub"], transformation["MetricName"])
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
        for transformation in resource["Properties"]["MetricTransformations"]
    }
    assert (properties["Namespace"]["Fn::Sub"], properties["MetricName"]) in written
    # CloudWatch refuses an alarm that looks back more than a day in periods of an hour or more, unless it is a week at most.
    assert properties["Period"] * properties["EvaluationPeriods"] <= 86_400
