"""Deliver a message by mail. A mail that a server accepted cannot be recalled, so after a lost answer it is never sent
again.

The server is what `deps` name as `smtp`: host, port, sender, username, password, starttls. Where its `was_sent` can
tell whether a mail with a given Message-ID went out (by the server's log, say, or a mailbox), it is called after a lost
answer; without it the run escalates.
"""

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from orchestrator import NOT_DONE, CallerError, Refused, RunContext, Unavailable, tool
from orchestrator.core.checks import has_words

SECONDS = 20.0
"""For each answer of the server."""


class Smtp(BaseModel):
    """A mail server, and in whose name it is used."""

    host: str
    sender: str
    port: int = 25
    username: str | None = None
    password: SecretStr = SecretStr("")
    starttls: bool = False
    was_sent: Callable[[str], bool] | None = None
    """Message-ID -> whether a mail with it was accepted."""


class Deps(BaseModel):
    """What this tool takes from `Orchestrator(deps=...)`."""

    smtp: Smtp | None = None


def server_of(deps: Any) -> Smtp:
    """The mail server that was configured."""
    try:
        found = Deps.model_validate({} if deps is None else deps, from_attributes=True).smtp
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise CallerError(f"deps for the mail server are wrong: {wrong}") from None
    if found is None:
        raise Unavailable("no mail server: give Orchestrator(deps={'smtp': {'host': ..., 'sender': ...}})")
    return found


def message_id(smtp: Smtp, ctx: RunContext) -> str:
    """The same for every attempt to send one message."""
    return f"<{ctx.idempotency_key}@{smtp.sender.rpartition('@')[2]}>"


def find(ctx: RunContext) -> Any:
    """The receipt, when somebody can tell that the mail went out. Raises `LookupError` when nobody can."""
    smtp = server_of(ctx.deps)
    if smtp.was_sent is None:
        raise LookupError("nobody can tell whether a mail was sent: deps name no smtp.was_sent")
    name = message_id(smtp, ctx)
    return f"smtp:{name}" if smtp.was_sent(name) else NOT_DONE


@tool(gives="delivery", effect="irreversible", reconcile=find, ensure=has_words, latency=2, timeout=120)
def send_smtp(recipient: str, subject: str, body: str, ctx: RunContext) -> str:
    """Send a mail of plain text to one or more addresses, parted by commas; gives `smtp:` and its Message-ID."""
    smtp = server_of(ctx.deps)
    mail, addresses = compose(smtp.sender, recipient, subject, body)
    mail["Message-ID"] = message_id(smtp, ctx)
    server = greeted(smtp, addresses)
    try:
        code, said = server.data(mail.as_bytes(policy=SMTP_LINES))  # an answer that is lost here leaves doubt
    except smtplib.SMTPDataError as error:  # DATA itself was declined: not a byte of the mail went out
        raise declined(error.smtp_code, error.smtp_error) from None
    finally:
        server.close()
    if code != 250:  # RFC 5321, 4.2.5: with any other answer the server has not taken the mail
        raise declined(code, said)
    return f"smtp:{mail['Message-ID']}"


def compose(sender: str, recipient: str, subject: str, body: str) -> tuple[EmailMessage, list[str]]:
    """The mail without its Message-ID, and the addresses it goes to. Raises `CallerError` for what is no address."""
    mail = EmailMessage()
    try:
        mail["From"], mail["To"], mail["Subject"] = sender, recipient, subject
        addresses = [address.addr_spec for address in mail["To"].addresses]
    except (ValueError, IndexError):
        raise CallerError("recipient and subject are single lines, and recipients are mail addresses") from None
    if not addresses or mail["To"].defects or not all(map(is_address, addresses)):
        raise CallerError("the recipient is no mail address (of ASCII characters)")
    mail.set_content(body)
    return mail, addresses


def is_address(text: str) -> bool:
    """Whether something stands on both sides of an @. Addresses beyond ASCII need a server that knows SMTPUTF8."""
    name, at, domain = text.rpartition("@")
    return text.isascii() and bool(name and at and domain)


def greeted(smtp: Smtp, addresses: list[str]) -> smtplib.SMTP:
    """A connection that awaits the mail. Whatever fails up to here, nothing was sent."""
    try:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=SECONDS)
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(f"the mail server cannot be reached: {error}") from None
    try:
        server.ehlo_or_helo_if_needed()
        if smtp.starttls:
            server.starttls(context=ssl.create_default_context())
        if smtp.username is not None:
            server.login(smtp.username, smtp.password.get_secret_value())
        for code, said in (server.mail(smtp.sender), *(server.rcpt(address) for address in addresses)):
            if code not in (250, 251):
                raise declined(code, said)
    except smtplib.SMTPAuthenticationError:
        server.close()
        raise CallerError("the mail server does not accept the user name and password") from None
    except (OSError, smtplib.SMTPException) as error:
        server.close()
        raise Unavailable(f"the mail server broke off before the mail: {error}") from None
    except BaseException:
        server.close()
        raise
    return server


def declined(code: int, said: bytes | str) -> Exception:
    """What a server's no means: 4yz is for now, 5yz for good (RFC 5321, 4.2.1)."""
    text = f"the mail server said {code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return Refused(text) if code >= 500 else Unavailable(text)
