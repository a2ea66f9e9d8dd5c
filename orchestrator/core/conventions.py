"""The names of all OpenTelemetry spans, attributes and metrics that the framework emits. No other module spells one.

The `gen_ai.` names are those of the OpenTelemetry semantic conventions for generative AI (status: development), in the
version below. `openinference.span.kind`, `input.*` and `output.*` are those of OpenInference, which Arize Phoenix
reads. There is no convention for routing decisions; their names are in the namespace `orchestrator.`.
"""

from typing import Final

__version__: Final = "0.1.0"
"""The version of the framework, and of the instrumentation scope of its spans."""
SCOPE: Final = "orchestrator"
"""The instrumentation scope of all spans and metrics, and the name of the logger."""
GENAI_VERSION: Final = "1.42.0-dev"
"""The version of the conventions for generative AI that the names follow."""

# -- spans: `{operation} {name}`, or the operation alone -----------------------------------------------------------

INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"
CHAT: Final = "chat"
PLAN: Final = "plan"
ATTEMPT: Final = "attempt"
SIGNAL: Final = "signal"
RUNG: Final = "rung"
SEAL: Final = "seal"
JUDGE: Final = "judge"

# -- attributes of the GenAI conventions ---------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
REQUEST_MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
PROVIDER: Final = "gen_ai.provider.name"
UNKNOWN_PROVIDER: Final = "unknown"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
EVALUATION: Final = "gen_ai.evaluation.result"
"""The name of the event that holds an evaluation."""
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

# -- attributes of OpenInference -----------------------------------------------------------------------------------

SPAN_KIND: Final = "openinference.span.kind"
CHAIN: Final = "CHAIN"
AGENT: Final = "AGENT"
TOOL: Final = "TOOL"
LLM: Final = "LLM"
DECISION: Final = "DECISION"
EVALUATOR: Final = "EVALUATOR"
GUARDRAIL: Final = "GUARDRAIL"
INPUT_VALUE: Final = "input.value"
INPUT_TYPE: Final = "input.mime_type"
OUTPUT_VALUE: Final = "output.value"
OUTPUT_TYPE: Final = "output.mime_type"
JSON: Final = "application/json"
OI_TOOL_NAME: Final = "tool.name"
LLM_MODEL: Final = "llm.model_name"
LLM_TOKENS: Final = "llm.token_count.total"
LLM_PROMPT_TOKENS: Final = "llm.token_count.prompt"
LLM_COMPLETION_TOKENS: Final = "llm.token_count.completion"

# -- attributes of ours --------------------------------------------------------------------------------------------

RUN_ID: Final = "orchestrator.run.id"
LABEL: Final = "orchestrator.label."
"""Prefix of the labels of a run."""
RUN_PARENT: Final = "orchestrator.run.parent"
RUN_STATUS: Final = "orchestrator.run.status"
RUN_PRICE: Final = "orchestrator.run.price"
RUN_COST: Final = "orchestrator.run.cost"
RUN_SECONDS: Final = "orchestrator.run.seconds"
RUN_LLM_CALLS: Final = "orchestrator.run.llm_calls"
RUN_COMPENSATED: Final = "orchestrator.run.compensated"
RUN_UNCOMPENSATED: Final = "orchestrator.run.uncompensated"
RUN_RESUMED: Final = "orchestrator.run.resumed"
GOAL: Final = "orchestrator.goal"
GOAL_REACHED: Final = "orchestrator.goal.reached"
POLICY: Final = "orchestrator.policy"
GRAPH_REVISION: Final = "orchestrator.graph.revision"
GRAPH_DIGEST: Final = "orchestrator.graph.digest"
LEDGER_HEAD: Final = "orchestrator.ledger.head"
LEDGER_COUNT: Final = "orchestrator.ledger.count"

DECISION_ID: Final = "orchestrator.decision.id"
DECISION_KIND: Final = "orchestrator.decision.kind"
DECISION_CHOSEN: Final = "orchestrator.decision.chosen"
DECISION_REASON: Final = "orchestrator.decision.reason"
DECISION_SUBJECT: Final = "orchestrator.decision.subject"
DECISION_PRICE: Final = "orchestrator.decision.price"
DECISION_ANSWERS: Final = "orchestrator.decision.answers"
CANDIDATES: Final = "orchestrator.decision.candidates"
CANDIDATE_PRICES: Final = "orchestrator.decision.candidate_prices"
UNUSABLE_PRICE: Final = -1.0
"""The value in `CANDIDATE_PRICES` of an unusable candidate, whose infinite price many viewers cannot represent."""

ATTEMPT_NUMBER: Final = "orchestrator.attempt"
ATTEMPTS: Final = "orchestrator.attempts"
CALL_EFFECT: Final = "orchestrator.call.effect"
CALL_VIA: Final = "orchestrator.call.via"
CALL_PROBE: Final = "orchestrator.call.probe"
CALL_COST: Final = "orchestrator.call.cost"
CALL_CANCELLED: Final = "orchestrator.call.cancelled"
CALL_RECONCILED: Final = "orchestrator.call.reconciled"
CALL_ASKED: Final = "orchestrator.call.asked"
CALL_UNFINISHED: Final = "orchestrator.call.unfinished"
USAGE: Final = "orchestrator.usage."
"""Prefix of the usage that a call reported: pages, tokens and whatever else."""

FAILURE_ID: Final = "orchestrator.failure.id"
FAILURE_KIND: Final = "orchestrator.failure.kind"
LINK: Final = "orchestrator.link"
"""What a span's link means: `answers` (a failed attempt) or `resumes` (the run's first span)."""

SIGNAL_TARGET: Final = "orchestrator.signal.target"
SIGNAL_KIND: Final = "orchestrator.signal.kind"
SIGNAL_ACTION: Final = "orchestrator.signal.action"
SIGNAL_PRIORITY: Final = "orchestrator.signal.priority"
SIGNAL_REASON: Final = "orchestrator.signal.reason"
SIGNAL_MONITOR: Final = "orchestrator.signal.monitor"
SIGNAL_FACTOR: Final = "orchestrator.signal.factor"

RUNG_NAME: Final = "orchestrator.rung.name"
RUNG_ANSWER: Final = "orchestrator.rung.answer"
RUNG_ADMITTED: Final = "orchestrator.rung.admitted"
RUNG_CALLS: Final = "orchestrator.rung.calls"
RUNG_REPAIRS: Final = "orchestrator.rung.repairs"
RUNG_COST: Final = "orchestrator.rung.cost"

JUDGED_BY: Final = "orchestrator.judgement.by"
JUDGED_GOOD: Final = "orchestrator.judgement.good"
JUDGED_WEIGHT: Final = "orchestrator.judgement.weight"
JUDGED_COST: Final = "orchestrator.judgement.cost"

EVENT: Final = "orchestrator."
"""Prefix of the names of span events: conditions, exclusions, provided values, problems."""
EVENT_TOOL: Final = "orchestrator.tool"
EVENT_KEY: Final = "orchestrator.key"
EVENT_BY: Final = "orchestrator.by"
EVENT_HOLDS: Final = "orchestrator.holds"
EVENT_REASON: Final = "orchestrator.reason"
EVENT_SOURCE: Final = "orchestrator.source"

# -- metrics -------------------------------------------------------------------------------------------------------

TOOL_DURATION: Final = "gen_ai.execute_tool.duration"
AGENT_DURATION: Final = "gen_ai.invoke_agent.duration"
"""Of agents, and (GenAI conventions 0.1.0) of workflows; `gen_ai.operation.name` tells them apart."""
WORKFLOW_DURATION: Final = "gen_ai.invoke_workflow.duration"
FAILURES: Final = "orchestrator.failures"
DECISIONS: Final = "orchestrator.decisions"
REROUTES: Final = "orchestrator.reroutes"
ESCALATIONS: Final = "orchestrator.escalations"
LLM_CALLS: Final = "orchestrator.llm_calls"
PRICE_OF_RUN: Final = "orchestrator.run.price"
COST_OF_RUN: Final = "orchestrator.run.cost"
CIRCUIT: Final = "orchestrator.circuit.state"
CIRCUIT_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
"""What the gauge of circuits shows."""
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Boundaries of the histograms of calls, as the conventions for generative AI advise."""
RUN_SECONDS_BOUNDS: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
DOLLARS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Boundaries of the histograms of prices and costs, in US dollars."""

# -- attributes of log records -------------------------------------------------------------------------------------

LOG_TRACE_ID: Final = "trace_id"
LOG_SPAN_ID: Final = "span_id"
LOG_RUN_ID: Final = "run_id"

# -- keys of the OpenTelemetry context in which a call is made -------------------------------------------------------

TRACER_KEY: Final = "orchestrator-tracer"
"""The tracer of the run, for spans of what happens inside a call."""
SHOW_KEY: Final = "orchestrator-show"
"""How texts are shown (attribute, text) -> text; absent where content is not captured."""
COMMON_KEY: Final = "orchestrator-common"
"""Attributes that every span of the run has."""
