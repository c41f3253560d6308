# Sourced by every script here: finds the project from the script's own path, keeps the caller's Python settings
# out, and makes .venv or brings it up to date. Sets $root and $python.

root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
python=$root/.venv/bin/python
case $root in
    *:*)
        echo "Python can run nothing in a folder with a colon in its path: rename or move $root." >&2
        exit 1 ;;
esac

# The caller's directory stays as it is, so that file arguments mean what was typed; PYTHONSAFEPATH keeps a package
# of that directory from being imported in place of ours.
unset PYTHONHOME VIRTUAL_ENV __PYVENV_LAUNCHER__
export PYTHONPATH="$root" PYTHONSAFEPATH=1

# Prints the first Python that can make the environment: $PYTHON if given, otherwise the newest that the tests run on.
find_python() {
    usable='import sys
if sys.version_info < (3, 11): sys.exit(3)
try: import ensurepip, venv
except ImportError: sys.exit(4)'
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3 python3.14 python
    fi
    found=
    for candidate do
        status=0
        "$candidate" -I -c "$usable" >/dev/null 2>&1 || status=$?
        case $status in
            0) printf '%s\n' "$candidate"; return ;;
            4) found=$candidate ;;
        esac
    done
    if [ -n "$found" ]; then
        echo "$found has no venv module: install it first (on Debian and Ubuntu: apt-get install python3-venv)." >&2
    elif [ -n "${PYTHON:-}" ]; then
        echo "PYTHON=$PYTHON is not a Python 3.11 or newer." >&2
    else
        echo "Python 3.11 or newer is needed and was not found; set PYTHON to its path if it is installed." >&2
    fi
    return 1
}

# environment LOCK: after this, what LOCK lists is installed. The copy of the lock file that .environment.py leaves in
# .venv makes this one comparison.
environment() {
    [ -x "$python" ] && cmp -s "$root/scripts/$1" "$root/.venv/$1" 2>/dev/null && return
    base=$(find_python) || exit 1
    "$base" -I "$root/scripts/.environment.py" "$1" || exit
}

# run MODULE [ARGUMENT ...]: become a module of the project.
run() {
    environment requirements.lock
    exec "$python" -m "$@"
}
