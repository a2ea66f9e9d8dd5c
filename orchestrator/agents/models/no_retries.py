"""Chat models without retries of their own: the engine is the only layer that retries."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

M = TypeVar("M", bound="BaseChatModel")


def one_attempt(model: M) -> M:
    """The same chat model without the retries of its client; itself where it has none, or they are unknown to us.

    The clients of OpenAI (and what is made of it, such as vLLM's) and Anthropic repeat a request twice by default and
    sleep in between, unseen by budgets, deadlines and health. The copy shares the connections of the original.
    """
    if getattr(model, "max_retries", 0) == 0:
        return model
    if hasattr(getattr(model, "root_async_client", None), "with_options"):
        return _with_clients(model)
    cached = {
        name for kind in type(model).__mro__ for name, it in vars(kind).items() if isinstance(it, cached_property)
    }
    if "_async_client" not in cached:
        return model
    made = model.model_copy(update={"max_retries": 0})
    for name in cached:  # made anew when it is first used, as `max_retries` now says
        vars(made).pop(name, None)
    return made


def _with_clients(model: M) -> M:
    changed: dict[str, Any] = {"max_retries": 0}
    for root, client in (("root_client", "client"), ("root_async_client", "async_client")):
        given: Any = getattr(model, root, None)
        if hasattr(given, "with_options"):
            changed[root] = given.with_options(max_retries=0)
            changed[client] = changed[root].chat.completions
    return model.model_copy(update=changed)
