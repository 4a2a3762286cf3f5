"""A real class: the hub, its proxy and students' servers, as `make class` starts them."""

import json
import re
import shutil
import subprocess
import sys
import time

import jupyter_client.blocking
import psutil
import pytest
from conftest import Room, Visitor, needs_root

from project import ROOT, notebooks

SCOPES = re.compile(r'name="scopes"[^>]* value="([^"]*)"')


def seated(room, name):
    visitor = Visitor(room, name)
    assert "login_error" not in visitor.log_in()
    assert visitor.sit_down() == ""
    return visitor


def run(room, name, kernel, code):
    """Run a line in a student's kernel, and return what it prints."""
    file = next(room.home(name).glob(f".local/share/jupyter/runtime/kernel-{kernel}.json"))
    client = jupyter_client.blocking.BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels(hb=False)     # a kernel that is about to start has no heartbeat yet, and is not dead
    printed = []
    try:
        client.wait_for_ready(60)
        client.execute_interactive(code, timeout=60, output_hook=lambda message: printed.append(
            message["content"].get("text") or "\n".join(message["content"].get("traceback", []))))
    finally:
        client.stop_channels()
    return "".join(printed)


def test_a_wrong_word_a_short_pin_and_a_taken_name_are_told_on_the_form(room):
    assert Visitor(room, "carl").log_in(word="melon") == "This is not the word of the class: ask your lecturer for it."
    assert "PIN needs 4 signs" in Visitor(room, "carl").log_in(pin="1")
    Visitor(room, "carl").log_in()
    assert "The name carl is taken, and this is not its PIN" in Visitor(room, "carl").log_in(pin="9999")
    assert Visitor(room, "a/b").log_in() == "A name has 1 to 30 letters, digits or hyphens: write another name."


def test_a_student_gets_the_students_edition_and_the_lecturer_theirs(room):
    seated(room, "dora")
    copy = room.home("dora") / "course/notebooks"
    assert [path.name for path in notebooks(copy)] == [path.name for path in notebooks()]
    assert "A solution" not in (copy / "03_several_losses.ipynb").read_text(encoding="utf-8")
    lecturer = Visitor(room, "lecturer")
    lecturer.log_in(room.lecturer_word)
    assert lecturer.sit_down() == ""
    assert "A solution" in (room.home("lecturer") / "course/notebooks/03_several_losses.ipynb").read_text(encoding="utf-8")


def test_the_lecturer_sees_who_is_there_and_students_do_not(room):
    student = seated(room, "ella")
    lecturer = Visitor(room, "lecturer")
    lecturer.log_in(room.lecturer_word)
    there = lecturer.get(f"{room.address}/hub/api/users", params={"state": "active"}, headers={"Referer": f"{room.address}/hub/"})
    assert "ella" in [user["name"] for user in there.json()]
    assert lecturer.get(f"{room.address}/hub/admin").status_code == 200
    assert student.get(f"{room.address}/hub/admin").status_code == 403


def test_a_students_server_cannot_read_the_votes_though_the_lecturer_opens_it(room):
    seated(room, "emil")
    lecturer = Visitor(room, "lecturer")
    lecturer.log_in(room.lecturer_word)
    assert lecturer.sit_down() == ""
    reads = {}
    for owner in ("lecturer", "emil"):
        page = lecturer.get(f"{room.address}/user/{owner}/lab")
        if "Authorize access" in page.text:
            grant = {"_xsrf": re.search(r'name="_xsrf" value="([^"]*)"', page.text)[1], "scopes": SCOPES.findall(page.text)}
            page = lecturer.post(page.url, data=grant, headers={"Referer": page.url})
        token = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page.text, re.DOTALL)[1])["token"]
        reads[owner] = lecturer.get(f"{room.address}/services/votes/", headers={"Authorization": f"token {token}"}).json()
    assert reads == {"lecturer": {"reads": True}, "emil": {"reads": False}}


def test_no_student_comes_to_another_students_server(room):
    seated(room, "finn")
    other = seated(room, "gina")
    answer = other.api("GET", "contents/notebooks", owner="finn")
    assert answer.status_code in (403, 404) and "03_several" not in answer.text


def test_a_name_in_other_letters_comes_in(room):
    visitor = Visitor(room, "王伟")
    visitor.log_in()
    page = visitor.get(f"{room.address}/hub/spawn")
    assert page.status_code == 200, page.text[-500:]


@needs_root
def test_each_student_has_an_own_user(room):
    seated(room, "hans")
    seated(room, "ines")
    owners = [room.home(name).stat().st_uid for name in ("hans", "ines")]
    assert len(set(owners)) == 2 and 0 not in owners
    servers = {process.uids().real for process in psutil.process_iter() if "jupyterhub.singleuser" in " ".join(_cmdline(process))}
    assert set(owners) <= servers


def _cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_student_has_a_few_kernels_and_is_told_so(room):
    visitor = seated(room, "jane")
    answers = [visitor.api("POST", "kernels", json={"name": "python3"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 503]
    assert answers[-1].json()["message"].startswith("3 notebooks run already, which is the most: end one of them first")
    for answer in answers[:3]:
        visitor.api("DELETE", f"kernels/{answer.json()['id']}")


def test_a_students_kernel_has_one_thread(room):
    visitor = seated(room, "kate")
    kernel = visitor.api("POST", "kernels", json={"name": "python3"}).json()["id"]
    assert run(room, "kate", kernel, "import torch; print(torch.get_num_threads())") == "1\n"
    visitor.api("DELETE", f"kernels/{kernel}")


def test_a_tensor_that_is_too_large_is_told_in_a_sentence_and_the_kernel_lives(room):
    visitor = seated(room, "kurt")
    kernel = visitor.api("POST", "kernels", json={"name": "python3"}).json()["id"]
    said = run(room, "kurt", kernel, "import torch; kept = 1; torch.ones(2**40)")
    assert "Your seat has no more memory: restart the kernel" in said
    assert run(room, "kurt", kernel, "bytearray(2**40)").count("Your seat has no more memory") == 1
    assert "no more memory" not in run(room, "kurt", kernel, "raise RuntimeError('another')")
    assert run(room, "kurt", kernel, "print(kept)") == "1\n"
    visitor.api("DELETE", f"kernels/{kernel}")


def test_the_hub_is_killed_and_students_work_on(room):
    visitor = seated(room, "lena")
    kernel = visitor.api("POST", "kernels", json={"name": "python3"}).json()["id"]
    run(room, "lena", kernel, "answer = 42")
    path = "contents/notebooks/01_requires_grad.ipynb"
    notebook = visitor.api("GET", path).json()["content"]
    notebook["cells"][0]["source"] += "\n\nmine"
    assert visitor.api("PUT", path, json={"type": "notebook", "content": notebook}).status_code == 200
    room.kill()
    assert visitor.api("GET", path).json()["content"]["cells"][0]["source"].endswith("mine"), "the proxy and the servers go on"
    room.open()
    assert visitor.api("GET", "kernels").json()[0]["id"] == kernel
    assert run(room, "lena", kernel, "print(answer)") == "42\n"
    again = Visitor(room, "lena")
    again.log_in()
    assert again.sit_down() == ""
    assert again.api("GET", path).json()["content"]["cells"][0]["source"].endswith("mine")
    visitor.api("DELETE", f"kernels/{kernel}")


def test_a_class_that_is_open_is_not_opened_twice(room):
    done = subprocess.run([sys.executable, ROOT / "tools/classroom.py", f"--folder={room.folder}"], capture_output=True,
                          text=True)
    assert done.returncode != 0 and done.stderr.strip() == "The class is open already: see the terminal where it was started."


def test_a_port_that_is_taken_is_told(room, tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools/classroom.py", f"--folder={tmp_path}", f"--port={room.port}"],
                          capture_output=True, text=True)
    assert done.returncode != 0 and f"port {room.port} is not to be had" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("option, words", [("--port=80", "PORT=80 is no port for a class"), ("--word= ", "WORD is empty"),
                                           ("--port=65535", "PORT=65535 is no port")])
def test_bad_options_are_told_in_one_sentence(option, words, tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools/classroom.py", f"--folder={tmp_path / 'new'}", option],
                          capture_output=True, text=True)
    assert done.returncode != 0 and words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_only_this_machine_is_let_in(room):
    ports = range(room.port, room.port + 4)
    places = [place for process in psutil.process_iter() for place in _places(process) if place.laddr.port in ports]
    assert {place.laddr.ip for place in places if place.status == "LISTEN"} == {"127.0.0.1"}


def _places(process):
    try:
        return process.net_connections("inet")
    except psutil.Error:
        return []


def test_no_word_and_no_token_is_in_the_log(room):
    seated(room, "mona")
    settings = json.loads((room.folder / "hub/settings.json").read_text(encoding="utf-8"))
    secrets = [settings[name] for name in ("word", "lecturer_word", "proxy_token")]
    secrets += [(room.folder / "hub/cookie_secret").read_text().strip()]
    for process in psutil.process_iter():
        if "jupyterhub" in " ".join(_cmdline(process)):
            try:
                secrets.append(process.environ().get("JUPYTERHUB_API_TOKEN"))
            except psutil.Error:
                continue
    log = room.log()
    assert len(secrets) > 6 and "mona" in log
    assert not [secret for secret in filter(None, secrets) if secret in log]
    assert not re.search(r"[?&](token|code|_xsrf)=(?!\[secret\]|\.\.\.)", log)


def test_what_is_the_hubs_is_closed_to_all_others(room):
    for name, mode in (("", 0o711), ("hub", 0o700), ("students", 0o711), ("published/lecturer", 0o700)):
        assert (room.folder / name).stat().st_mode & 0o777 == mode


def test_a_machine_without_memory_or_disk_says_so_and_nobody_else_is_harmed(tmp_path, monkeypatch):
    room = Room(tmp_path / "small")
    room.open("--guarantee=999999999")
    try:
        visitor = Visitor(room, "nora")
        visitor.log_in()
        assert visitor.sit_down().startswith("All seats are taken: this machine has no memory for one more. Tell your lecturer")
    finally:
        room.close()
    assert room.tool.returncode == 0


def test_a_closed_class_leaves_nothing_running_and_is_opened_again_with_all_work(tmp_path):
    room = Room(tmp_path / "again")
    room.open()
    visitor = seated(room, "olga")
    visitor.api("POST", "kernels", json={"name": "python3"})
    (room.home("olga") / "course/notebooks/mine.txt").write_text("kept")
    room.close()
    assert room.tool.returncode == 0
    left = [process for process in psutil.process_iter() if str(room.folder) in " ".join(_cmdline(process))]
    time.sleep(0.5) if left else None
    assert not [process for process in left if process.is_running() and process.status() != "zombie"]
    room.open()
    try:
        visitor = seated(room, "olga")
        assert visitor.api("GET", "contents/notebooks/mine.txt").json()["content"] == "kept"
        assert "taken" in Visitor(room, "olga").log_in(pin="9999")
    finally:
        room.close()
    shutil.rmtree(room.folder)
