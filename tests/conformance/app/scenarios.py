"""Orchestrators, activities and entities, one behaviour each, that the recorded app does not have. Public SDK calls only."""

# The functions' parameters belong to the Durable SDK, which ships no types.
# ruff: noqa: ANN001, ANN201

import datetime as dt
import time

import azure.durable_functions as df
from counters import bump, set_mark, wait_for_mark

blueprint = df.Blueprint()


def after(context, seconds):
    return context.current_utc_datetime + dt.timedelta(seconds=seconds)


# Activities


@blueprint.activity_trigger(input_name="x")
def counted(x):
    """Counts its runs under a key and gives the key back."""
    bump(x)
    return x


@blueprint.activity_trigger(input_name="x")
def gated(x):
    """Counts its start, then waits for a mark of the same name (`POST /api/mark/{key}`), half a minute at most."""
    bump(f"started-{x}")
    if not wait_for_mark(x, seconds=30):
        raise TimeoutError(f"no mark {x}")
    return x


@blueprint.activity_trigger(input_name="x")
def timed(x):
    """Runs for a while and says from when to when."""
    began = time.time()
    time.sleep(x)
    return [began, time.time()]


@blueprint.activity_trigger(input_name="x")
def reads(x):
    """What an activity's input looks like from inside."""
    return [type(x).__name__, x]


@blueprint.activity_trigger(input_name="x")
def not_json(x):
    bump(f"not_json-{x}")
    return {1, 2}


@blueprint.activity_trigger(input_name="x")
def leaks_secret(x):
    raise ValueError(f"cannot open AccountName=a;AccountKey={x}'")


@blueprint.function_name("renamed_activity_function")
@blueprint.activity_trigger(input_name="x", activity="DurableName")
def renamed_activity(x):
    return ["renamed", x]


@blueprint.activity_trigger(input_name="x")
def disabled_activity(x):
    return x


# Compositions


@blueprint.orchestration_trigger(context_name="context")
def c_nested(context):
    first = context.task_any([context.call_activity("echo", "a"), context.call_activity("slow", {"s": 1, "v": "b"})])
    both = yield context.task_all([first, context.call_activity("echo", "c")])
    last = yield context.call_activity("echo", "d")
    return [both[0].result, both[1], last]


@blueprint.orchestration_trigger(context_name="context")
def c_forgets(context):
    context.call_activity("counted", f"forgotten-{context.instance_id}")
    return (yield context.call_activity("counted", f"asked-{context.instance_id}"))


@blueprint.orchestration_trigger(context_name="context")
def c_rearm(context):
    """A task_any loop over tasks that are all started in the first wave."""
    left = [context.call_activity("counted", f"{context.instance_id}-{number}") for number in range(6)]
    seen = []
    while left:
        done = yield context.task_any(left)
        left.remove(done)
        seen.append(done.result[len(context.instance_id) + 1 :])
    return sorted(seen)


def rolling(context, *, companion):
    """Ten calls, three at a time; the first is slow. Gives the order of the ends."""
    waiting = [{"s": 4 if number == 0 else 0.05, "v": number} for number in range(10)]
    pending = [context.call_activity("slow", waiting.pop(0)) for _ in range(3)]
    if companion:
        yield context.task_any([*pending, context.create_timer(context.current_utc_datetime)])
    seen = []
    while pending:
        done = yield context.task_any(pending)
        pending.remove(done)
        seen.append(done.result)
        if waiting:
            pending.append(context.call_activity("slow", waiting.pop(0)))
            if companion:
                yield context.task_any([pending[-1], context.create_timer(context.current_utc_datetime)])
    return seen


@blueprint.orchestration_trigger(context_name="context")
def c_roll_plain(context):
    return (yield from rolling(context, companion=False))


@blueprint.orchestration_trigger(context_name="context")
def c_roll_companion(context):
    return (yield from rolling(context, companion=True))


@blueprint.orchestration_trigger(context_name="context")
def c_counts(context):
    """One of everything that takes a sequence number; the last call tells whether both sides counted alike."""
    retry = df.RetryOptions(300, 3)
    yield context.task_all(
        [
            context.call_activity("echo", 0),
            context.call_activity_with_retry("flaky", retry, {"key": context.instance_id, "fails": 1}),
            context.create_timer(context.current_utc_datetime),
            context.call_sub_orchestrator("o_chain"),
            context.task_any([context.call_activity("echo", 1), context.call_activity("echo", 2)]),
        ]
    )
    timer = context.create_timer(after(context, 60))
    yield context.task_any([context.call_activity("echo", 3), timer])
    timer.cancel()
    entity = df.EntityId("counter", context.instance_id)
    context.signal_entity(entity, "add", 1)
    found = yield context.call_entity(entity, "add", 2)
    return [found, (yield context.call_activity("echo", "last"))]


@blueprint.orchestration_trigger(context_name="context")
def c_values(context):
    """Activity inputs and results of every JSON kind."""
    values = ["hi", {"a": 1}, None, "5", 5, 1.5, True, [1, "hé ☃"], "2026-01-01T00:00:00Z", {"d": "2026-01-01T00:00:00.100+02:00"}]
    return (yield context.task_all([context.call_activity("reads", value) for value in values]))


@blueprint.orchestration_trigger(context_name="context")
def c_calls_renamed(context):
    by_durable_name = yield context.call_activity("durablename", 1)
    return [by_durable_name, (yield context.call_activity("ECHO", 2))]


@blueprint.orchestration_trigger(context_name="context")
def c_big(context):
    """A large value through an activity, a sub-orchestration, the custom status' limit left alone, and the output."""
    size = context.get_input()["size"]
    text = yield context.call_activity("big", size)
    child = yield context.call_sub_orchestrator("c_length", text)
    many = yield context.task_all([context.call_activity("big", size) for _ in range(3)])
    return [child, [len(item) for item in many], text]


@blueprint.orchestration_trigger(context_name="context")
def c_length(context):
    text = context.get_input()
    back = yield context.call_activity("echo", text)
    return len(back)


@blueprint.orchestration_trigger(context_name="context")
def c_widest(context):
    """How many activities ran at one time."""
    spans = yield context.task_all([context.call_activity("timed", 0.3) for _ in range(context.get_input()["n"])])
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = running = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


# Retries


@blueprint.orchestration_trigger(context_name="context")
def c_retry(context):
    asked = context.get_input()
    options = df.RetryOptions(asked.get("interval", 300), asked["attempts"])
    try:
        return (yield context.call_activity_with_retry("flaky", options, {"key": context.instance_id, "fails": asked["fails"]}))
    except Exception as error:
        return str(error).splitlines()[0]


# Ends


@blueprint.orchestration_trigger(context_name="context")
def c_race_leave(context):
    timer = context.create_timer(after(context, 4))
    won = yield context.task_any([context.call_activity("echo", "quick"), timer])
    return won.result


@blueprint.orchestration_trigger(context_name="context")
def c_any_fail(context):
    won = yield context.task_any([context.call_activity("boom", 1), context.call_activity("slow", {"s": 2, "v": 1})])
    return [type(won.result).__name__, str(won.result).splitlines()[0]]


@blueprint.orchestration_trigger(context_name="context")
def c_parent_leaves(context):
    child = context.call_sub_orchestrator("o_child_slow", None, f"{context.instance_id}-child")
    won = yield context.task_any([child, context.create_timer(after(context, 1))])
    return "child" if won is child else "timer"


@blueprint.orchestration_trigger(context_name="context")
def c_error_empty(context):
    yield context.call_activity("echo", 1)
    raise ValueError


@blueprint.orchestration_trigger(context_name="context")
def c_raises_before_yield(context):
    if context.get_input() != "go on":
        raise ValueError("before the first yield")
    yield context.call_activity("echo", 1)


@blueprint.orchestration_trigger(context_name="context")
def c_calls(context):
    """Calls whatever activity its input names."""
    asked = context.get_input()
    return (yield context.call_activity(asked["activity"], asked.get("input")))


@blueprint.orchestration_trigger(context_name="context")
def c_catches_activity(context):
    try:
        yield context.call_activity("boom", "x")
    except Exception as error:
        return [type(error).__name__, str(error)]


@blueprint.orchestration_trigger(context_name="context")
def c_statuses(context):
    context.set_custom_status({"step": 1})
    yield context.call_activity("gated", f"{context.instance_id}-1")
    context.set_custom_status({"step": 2})
    yield context.call_activity("gated", f"{context.instance_id}-2")
    context.set_custom_status(0)
    return False


@blueprint.orchestration_trigger(context_name="context")
def c_drift(context):
    """Not deterministic on purpose: each run of its code asks for another activity under the same number."""
    run = bump(f"drift-{context.instance_id}")
    yield context.call_activity("echo" if run == 1 else "counted", f"stray-{context.instance_id}")
    return "never"


# Names that are not registered


@blueprint.orchestration_trigger(context_name="context")
def c_unknown_sub(context):
    yield context.call_activity("echo", 1)
    yield context.call_sub_orchestrator("no_such")


@blueprint.orchestration_trigger(context_name="context")
def c_own_id(context):
    yield context.call_sub_orchestrator("o_chain", None, context.instance_id.upper())


@blueprint.orchestration_trigger(context_name="context")
def c_signals_unknown(context):
    context.signal_entity(df.EntityId("no_such", "k"), "op")
    yield context.call_activity("echo", 1)


# Families


@blueprint.orchestration_trigger(context_name="context")
def c_family(context):
    child = yield context.call_sub_orchestrator("c_who", "input")
    silent = yield context.call_sub_orchestrator("c_who")
    return {"child": child, "silent": silent}


@blueprint.orchestration_trigger(context_name="context")
def c_who(context):
    yield context.call_activity("echo", 1)
    return [context.instance_id, context.parent_instance_id, context.get_input()]


@blueprint.orchestration_trigger(context_name="context")
def c_catches_child(context):
    try:
        yield context.call_sub_orchestrator(context.get_input()["child"], "fail", f"{context.instance_id}-child")
    except Exception as error:
        return str(error)


@blueprint.orchestration_trigger(context_name="context")
def c_same_child_later(context):
    child = f"{context.instance_id}-child"
    first = yield context.call_sub_orchestrator("o_child", 1, child)
    return [first, (yield context.call_sub_orchestrator("o_child", 2, child))]


# What an orchestrator sees


@blueprint.orchestration_trigger(context_name="context")
def c_history(context):
    """The history that the last of three episodes was handed, event by event."""
    yield context.call_activity("echo", 1)
    yield context.call_activity("echo", 2)
    return [[event.event_type, event.is_played] for event in context.histories]


@blueprint.orchestration_trigger(context_name="context")
def c_history_after_new(context):
    """The same for a generation after continue-as-new, before and after its first activity."""
    if context.get_input() is None:
        yield context.call_activity("echo", 0)
        context.continue_as_new("second")
        return None
    shown = yield context.call_activity("echo", [[event.event_type, event.is_played] for event in context.histories])
    return [shown, [[event.event_type, event.is_played] for event in context.histories]]


@blueprint.orchestration_trigger(context_name="context")
def c_replaying(context):
    """Counts how often each line ran with is_replaying false."""
    for line in ("first", "second", "third"):
        if not context.is_replaying:
            bump(f"line-{context.instance_id}-{line}")
        yield context.call_activity("echo", line)
    return "end"


@blueprint.orchestration_trigger(context_name="context")
def c_clock(context):
    """Fire time of a two-second timer, and the clock when it has fired."""
    due = after(context, 2)
    yield context.create_timer(due)
    return [due.isoformat(), context.current_utc_datetime.isoformat()]


@blueprint.orchestration_trigger(context_name="context")
def c_sleeps(context):
    yield context.create_timer(after(context, context.get_input()["seconds"]))
    return "slept"


@blueprint.orchestration_trigger(context_name="context")
def c_version(context):
    yield context.call_activity("echo", 1)
    return context.version


@blueprint.orchestration_trigger(context_name="context")
def c_version_of_child(context):
    usual = yield context.call_sub_orchestrator("c_version")
    return [usual, (yield context.call_sub_orchestrator("c_version", None, None, "0.5"))]


@blueprint.orchestration_trigger(context_name="context")
def c_for_ever(context):
    while True:
        yield context.call_activity("echo", 1)


# Events


@blueprint.orchestration_trigger(context_name="context")
def c_late_waits(context):
    """Events come while an activity waits for its mark; then as many waits as the input says, and a timer so as not to hang."""
    yield context.call_activity("gated", context.instance_id)
    seen = []
    for _ in range(context.get_input()["waits"]):
        event = context.wait_for_external_event("go")
        timer = context.create_timer(after(context, 2))
        won = yield context.task_any([event, timer])
        if won is timer:
            seen.append("timeout")
            continue
        timer.cancel()
        seen.append(won.result)
    return seen


@blueprint.orchestration_trigger(context_name="context")
def c_two_plain_waits(context):
    yield context.call_activity("gated", context.instance_id)
    first = yield context.wait_for_external_event("go")
    return [first, (yield context.wait_for_external_event("go"))]


@blueprint.orchestration_trigger(context_name="context")
def c_not_waited(context):
    return (yield context.call_activity("gated", context.instance_id))


@blueprint.orchestration_trigger(context_name="context")
def c_three_events(context):
    first = yield context.wait_for_external_event("a")
    second = yield context.wait_for_external_event("b")
    return [first, second, (yield context.wait_for_external_event("c"))]


@blueprint.orchestration_trigger(context_name="context")
def c_sum(context):
    """One event a generation, and some work for it; 0 ends. Keeps the generations' execution in the custom status."""
    total = context.get_input() or 0
    number = yield context.wait_for_external_event("n")
    if total == 0:
        context.set_custom_status(f"first {number}")
    yield context.call_activity("slow", {"s": 0.6, "v": number})
    if number == 0:
        return total
    context.continue_as_new(total + number)


# Durable HTTP


@blueprint.orchestration_trigger(context_name="context")
def c_http(context):
    asked = context.get_input()
    return (
        yield context.call_http(
            asked.get("method", "GET"), asked["uri"], asked.get("content"), asked.get("headers"), is_raw_str=asked.get("raw", False)
        )
    )


# Entities


@blueprint.entity_trigger(context_name="context")
def Notes(context):
    """A list of what it was told, and the awkward operations."""
    notes = context.get_state(list)
    operation = context.operation_name
    if operation == "add":
        notes.append(context.get_input())
        context.set_state(notes)
        context.set_result(len(notes))
    elif operation == "get":
        context.set_result(notes)
    elif operation == "slowly":
        set_mark(f"began-{context.entity_key}-{bump('began-' + context.entity_key)}")
        time.sleep(context.get_input())
        notes.append("slow")
        context.set_state(notes)
        context.set_result(time.time())
    elif operation == "fail":
        context.set_state([*notes, "before the failure"])
        raise ValueError("entity failed")
    elif operation == "fail_first":
        raise ValueError("untouched")
    elif operation == "remove":
        context.destruct_on_exit()
    elif operation == "crash":
        bump(f"crash-{context.entity_key}")
        context.set_state({1, 2})
    elif operation == "who":
        context.set_result([context.entity_name, context.entity_key])


@blueprint.orchestration_trigger(context_name="context")
def c_notes(context):
    """Signals and calls in turn, as its input lists them: [[kind, operation, input], ...]."""
    entity = df.EntityId("Notes", context.instance_id)
    found = []
    for kind, operation, given in context.get_input()["steps"]:
        if kind == "signal":
            context.signal_entity(entity, operation, given)
            continue
        try:
            found.append((yield context.call_entity(entity, operation, given)))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


@blueprint.orchestration_trigger(context_name="context")
def c_two_entities(context):
    """Two entities that take a second each, side by side; says for how long."""
    begun = context.current_utc_datetime
    keys = [f"{context.instance_id}-{number}" for number in range(2)]
    yield context.task_all([context.call_entity(df.EntityId("Notes", key), "slowly", 1) for key in keys])
    return (context.current_utc_datetime - begun).total_seconds()
