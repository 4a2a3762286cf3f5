"""Who may come in: a name, the word of the class, and a PIN that keeps the name for the one who took it first."""

import asyncio
import hashlib
import json
import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from tornado import web
from traitlets import Unicode

LECTURER = "lecturer"
NAME = re.compile(r"\w[\w-]{0,29}")
SHORTEST_PIN = 4
PATIENCE = 1        # seconds after a wrong word or PIN, so that nobody tries them all


class ClassAuthenticator(Authenticator):
    """Logs in a student by name, the word of the class and a PIN.

    The word is known to the whole class, so it does not keep names apart. At the first login with a name, the student chooses a
    PIN, which that name needs from then on. The lecturer's name needs a word of its own instead. Where the lecturer deletes a
    name on the page of the hub, its PIN is forgotten, and the student's files stay.
    """

    word = Unicode(config=True, help="The word of the class.")
    lecturer_word = Unicode(config=True, help="The lecturer's own word.")
    pins_file = Unicode(config=True, help="Where the PINs are kept, as salted hashes.")

    def normalize_username(self, username: str) -> str:
        """Anna Maria and anna-maria are one name."""
        return re.sub(r"\s+", "-", unicodedata.normalize("NFKC", username).strip()).lower()

    def validate_username(self, username: str) -> bool:
        return bool(NAME.fullmatch(username))

    async def get_authenticated_user(self, handler: Any, data: dict[str, str]) -> Any:
        name = self.normalize_username(data.get("username", ""))
        if not self.validate_username(name):
            raise web.HTTPError(403, "A name has 1 to 30 letters, digits or hyphens: write another name.")
        return await super().get_authenticated_user(handler, data)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str:
        """Return the name. Raises HTTPError 403 with a sentence for the student."""
        name, word, pin = self.normalize_username(data["username"]), data.get("password", ""), data.get("pin", "")
        refusal = self.refusal(name, word, pin)
        if refusal:
            await asyncio.sleep(PATIENCE)
            raise web.HTTPError(403, refusal)
        return name

    def refusal(self, name: str, word: str, pin: str) -> str:
        """Why this login is refused, in a sentence, or "". A free name is taken with it."""
        if name == LECTURER:
            return "" if _same(word, self.lecturer_word) else "This is not the word of the lecturer."
        if not _same(word, self.word):
            return "This is not the word of the class: ask your lecturer for it."
        if len(pin) < SHORTEST_PIN:
            return f"Your PIN needs {SHORTEST_PIN} signs or more: choose one at your first login, and keep it."
        pins = self._pins()
        if name not in pins:
            salt = secrets.token_hex(16)
            self._keep({**pins, name: [salt, _hash(pin, salt)]})
            return ""
        salt, kept = pins[name]
        if not secrets.compare_digest(_hash(pin, salt), kept):
            return f"The name {name} is taken, and this is not its PIN: choose another name, or ask your lecturer if it is yours."
        return ""

    def delete_user(self, user: Any) -> None:
        self._keep({name: kept for name, kept in self._pins().items() if name != user.name})

    def _pins(self):
        path = Path(self.pins_file)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def _keep(self, pins):
        """Written whole beside the old file first: a full disk or a kill leaves the old one."""
        new = Path(self.pins_file + ".new")
        try:
            new.write_text(json.dumps(pins), encoding="utf-8")
            os.replace(new, self.pins_file)
        except OSError:
            raise web.HTTPError(503, "The disk of this machine is full: tell your lecturer, and log in again then.") from None


def _same(given, wanted):
    """Small and large letters, and spaces around the word, make no difference: phones add them."""
    return secrets.compare_digest(given.strip().casefold().encode(), wanted.strip().casefold().encode())


def _hash(pin, salt):
    return hashlib.scrypt(pin.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()
