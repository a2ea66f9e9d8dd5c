"""A chat model, healed: one changed line gives any LangChain program fallback, with a record of why.

`python examples/healed_model.py`. The models are scripted, so no key is needed.
"""

from orchestrator import HealingChatModel
from orchestrator.testing import ScriptedChatModel


def main() -> None:
    """Ask two models of which the first is out of credit."""
    first = ScriptedChatModel([ConnectionRefusedError("the provider is down")])
    model = HealingChatModel([first, ScriptedChatModel(["Hello."])])
    answer = model.invoke("Say hello.")
    print(answer.content)
    for failed in answer.response_metadata["orchestrator"]["failed"]:
        print("failed before:", failed["error"])


if __name__ == "__main__":
    main()
