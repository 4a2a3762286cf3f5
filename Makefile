# Every target first builds .venv or brings it up to date (tools/environment.py).
# All paths are relative: make cannot handle a space in the path of the checkout.

PYTHON ?= python3
PORT =
HOST =
WORD =
FOR =
N =
TITLE =
TORCH =
FOLDER =
STUDENTS = 30
FROM =
ACCEPT =
# The versions of all packages; empty for the newest ones.
LOCK = constraints.txt
ARGS =
VENV = .venv/bin/python

# The kernel called python3 is the one in .venv, whatever the user has registered elsewhere.
export JUPYTER_PREFER_ENV_PATH = 1
export LOCK
export FOR
unexport JUPYTER_PATH PYTHONHOME PYTHONPATH

.PHONY: help lab lecture class slides html student lecturer assignment collect grade test test-browser test-class load-test mutants \
  upgrade-report rounds refresh figures docs notebook lint lock benchmark environment

help:
	@echo "make lab        open the notebooks in JupyterLab (FOR=lecturer shows the notes for lectures; PORT=9000, ARGS=--no-browser)"
	@echo "make lecture    open a notebook as live slides (N=03)"
	@echo "make class      open a class on this machine, for students with a browser (HOST=0.0.0.0 for a room; PORT=9000, WORD=lemon)"
	@echo "make slides     write a deck for each notebook, which opens without a network"
	@echo "make html       write the notebooks as pages to read, without Python and without a network"
	@echo "make student    write the notebooks without solutions and notes for the lecturer (FOLDER=where, else _build/student)"
	@echo "make lecturer   write the notebooks with everything, the notes shown (FOLDER=where, else _build/lecturer)"
	@echo "make assignment write the exercises of a notebook as an assignment (N=03)"
	@echo "make collect    copy what each student has saved of a notebook (N=03; FROM=folder with one for each student, else _class/students)"
	@echo "make grade      grade what was collected by the checks of the course (N=03; ACCEPT=ada/03.2 lets an answer count that you have read)"
	@echo "make test       run all tests and notebooks (ARGS: more options for pytest)"
	@echo "make test-browser  open JupyterLab, slides and pages in a real browser, if there is one"
	@echo "make test-class  open a class with its hub, and test it as students would"
	@echo "make load-test  simulated students in a class on this machine, with its hub killed in the middle (STUDENTS=30, ARGS=--store for docs/class.json)"
	@echo "make lint       look for common mistakes, and check the types of the library"
	@echo "make mutants    change PyTorch on purpose, and see which cell notices it (ARGS: names of mutants)"
	@echo "make upgrade-report  run all tests with another PyTorch, and write what is different (TORCH=2.14.0)"
	@echo "make rounds     run the notebooks again and again, under other conditions each time (ARGS=20)"
	@echo "make refresh    run the notebooks again and store their outputs (ARGS: which)"
	@echo "make figures    draw the figures again"
	@echo "make docs       write docs/ again: the plans for lectures, from the notes in the notebooks, the table of versions, the tables of messages, and the log of the error clinic"
	@echo "make notebook   begin a notebook (N=13 TITLE=\"Mixed precision\")"
	@echo "make lock       build .venv with the newest versions, and write constraints.txt"
	@echo "make benchmark  measure what drawing, recording, watching, explaining, real networks, the regression run and kernels cost"
	@echo "Each first builds .venv where needed; another Python: make lab PYTHON=python3.12; the newest packages: make test LOCK="

lab: environment
	@$(VENV) -m jupyter trust notebooks/*.ipynb
	@JUPYTER_CONFIG_PATH="tools/lab$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	  $(VENV) -m jupyterlab $(if $(PORT),--port=$(PORT)) --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

lecture: environment
	@$(VENV) tools/lecture.py "$(N)" $(if $(PORT),--port=$(PORT)) $(ARGS)

# Ctrl+C reaches the tool itself, which ends the class in order.
class: environment
	@exec $(VENV) tools/classroom.py $(if $(HOST),--host=$(HOST)) $(if $(PORT),--port=$(PORT)) $(if $(WORD),--word="$(WORD)") $(ARGS)

slides: environment
	@$(VENV) tools/slides.py $(ARGS)

html: environment
	@$(VENV) tools/pages.py

student lecturer: environment
	@$(VENV) tools/editions.py $@ $(if $(FOLDER),"$(FOLDER)")

assignment collect grade: environment
	@$(VENV) tools/hand_in.py $@ "$(N)" $(if $(FROM),--from "$(FROM)") $(if $(ACCEPT),--accept $(ACCEPT)) $(ARGS)

# The workers share the processors among them; more threads would only wait for each other.
test: export OMP_NUM_THREADS = 1
test: environment
	$(VENV) -m pytest -n auto --dist loadfile --ignore=tests/browser --ignore=tests/classroom --nbval tests notebooks $(ARGS)

test-browser: environment
	@$(VENV) tools/browser.py $(ARGS)

test-class: export OMP_NUM_THREADS = 1
test-class: environment
	@$(VENV) tools/classroom.py --install
	$(VENV) -m pytest tests/classroom $(ARGS)

# Ctrl+C reaches the tool itself, which ends the class that it opened.
load-test: export OMP_NUM_THREADS = 1
load-test: environment
	@exec $(VENV) tools/load_test.py --students="$(STUDENTS)" $(ARGS)

mutants: environment
	@$(VENV) tests/mutants/run.py $(ARGS)

# Builds an environment of its own, for PYTHON and TORCH.
upgrade-report:
	@"$(PYTHON)" tools/upgrade_report.py $(TORCH)

rounds: environment
	@$(VENV) tools/rounds.py $(ARGS)

refresh: environment
	$(VENV) tools/refresh.py $(ARGS)

figures: environment
	$(VENV) tools/figures.py $(ARGS)

docs: environment
	@$(VENV) tools/lecturing.py
	@$(VENV) tools/versions.py
	@$(VENV) tools/class_page.py
	@$(VENV) tools/clinic_tables.py
	@$(VENV) tools/clinic_log.py
	@$(VENV) tools/class_page.py

notebook: environment
	@$(VENV) tools/new_notebook.py "$(N)" $(if $(TITLE),--title "$(TITLE)")

lint: environment
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy

benchmark: environment
	$(VENV) tests/benchmarks/cost_of_drawing.py $(ARGS)
	$(VENV) tests/benchmarks/cost_of_recording.py $(ARGS)
	$(VENV) tests/benchmarks/cost_of_watching.py $(ARGS)
	$(VENV) tests/benchmarks/cost_of_explaining.py $(ARGS)
	$(VENV) tests/benchmarks/cost_of_size.py $(ARGS)
	$(VENV) tests/benchmarks/cost_of_real_networks.py
	$(VENV) tests/benchmarks/cost_of_the_regression_run.py
	$(VENV) tests/benchmarks/cost_of_kernels.py

lock:
	@"$(PYTHON)" tools/environment.py --lock

environment:
	@"$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 6))" 2>/dev/null || { \
	  echo "There is no Python 3 called $(PYTHON): 3.11 or newer is needed; install it, or name it: make lab PYTHON=python3.12" >&2; \
	  exit 1; }
	@"$(PYTHON)" tools/environment.py
