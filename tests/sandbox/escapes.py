"""What a hostile cell tries, by name. Each ends with an error, or prints ESCAPED if it got what it wanted.

`{canary}` is a file of the host that holds a secret, `{folder}` its folder, `{target}` a file there that does not
exist, `{port}` a TCP port and `{unix}` a socket on which the host listens, `{pid}` the host's process. The environment
of the host holds the secret, too, as RLM_TEST_SECRET.
"""
# ruff: noqa: E501 - a cell on one line is easier to compare than on three

__all__ = ["COMMON", "MONTY", "PYTHON"]

#: The connection to the host, from inside a confined process.
_HOST = "import os\nhost = echo.__closure__[1].cell_contents._host\n"
_C = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def _call(number: str, *arguments: str) -> str:
    """A system call, by its number on this machine: (x86-64, ARM)."""
    return (
        f"{_C}numbers = {number}\nnumber = numbers[os.uname().machine != 'x86_64']\n"
        f"result = libc.syscall(number, {', '.join(arguments)})\n"
        "if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\nprint('ESCAPED', result)"
    )


def _then(code: str) -> str:
    return f"{code}\nprint('ESCAPED')"


#: Tried in every sandbox. Where a module does not exist, that is the error.
COMMON = {
    # Files.
    "open": _then("print(open('{canary}').read())"),
    "open binary": _then("print(open('{canary}', 'rb').read())"),
    "pathlib read": _then("import pathlib\nprint(pathlib.Path('{canary}').read_text())"),
    "pathlib write": _then("import pathlib\npathlib.Path('{target}').write_text('x')"),
    "pathlib list": "import pathlib\nassert list(pathlib.Path('{folder}').iterdir())\nprint('ESCAPED')",
    "pathlib glob": "import pathlib\nassert list(pathlib.Path('{folder}').glob('*'))\nprint('ESCAPED')",
    "pathlib unlink": _then("import pathlib\npathlib.Path('{canary}').unlink()"),
    "pathlib symlink": _then("import pathlib\npathlib.Path('{target}').symlink_to('{canary}')"),
    "os.open": _then("import os\nprint(os.read(os.open('{canary}', os.O_RDONLY), 100))"),
    "io.FileIO": _then("import io\nprint(io.FileIO('{canary}').read())"),
    "codecs.open": _then("import codecs\nprint(codecs.open('{canary}').read())"),
    "fileinput": _then("import fileinput\nprint(next(fileinput.input('{canary}')))"),
    "write a file": _then("with open('{target}', 'w') as file: file.write('x')"),
    "append to a file": _then("with open('{canary}', 'a') as file: file.write('x')"),
    "mkdir": _then("import os\nos.mkdir('{target}')"),
    "remove": _then("import os\nos.remove('{canary}')"),
    "rename": _then("import os\nos.rename('{canary}', '{target}')"),
    "chmod": _then("import os\nos.chmod('{canary}', 0o777)"),
    "chown": _then("import os\nos.chown('{canary}', 0, 0)"),
    "truncate": _then("import os\nos.truncate('{canary}', 0)"),
    "utime": _then("import os\nos.utime('{canary}', (0, 0))"),
    "listdir": _then("import os\nprint(os.listdir('{folder}'))"),
    "scandir": _then("import os\nprint(list(os.scandir('{folder}')))"),
    "walk": "import os\nassert list(os.walk('{folder}'))\nprint('ESCAPED')",
    "glob": "import glob\nassert glob.glob('{folder}/*')\nprint('ESCAPED')",
    "symlink": _then("import os\nos.symlink('{canary}', '{target}')\nprint(open('{target}').read())"),
    "link": _then("import os\nos.link('{canary}', '{target}')"),
    "symlink that is there": _then("print(open('{folder}/link').read())"),
    "chdir": _then("import os\nos.chdir('{folder}')\nprint(open('canary').read())"),
    "chroot": _then("import os\nos.chroot('{folder}')"),
    "mkfifo": _then("import os\nos.mkfifo('{target}')"),
    "shutil": _then("import shutil\nshutil.copy('{canary}', '{target}')"),
    "tempfile": _then("import tempfile\ntempfile.mkstemp()"),
    "sqlite": _then("import sqlite3\nsqlite3.connect('{target}').execute('create table t (a)')"),
    "log file": _then("import logging\nlogging.FileHandler('{target}')"),
    "linecache": "import linecache\nassert linecache.getline('{canary}', 1)\nprint('ESCAPED')",
    "source loader": _then("import importlib.machinery as m\nprint(m.SourceFileLoader('x', '{canary}').get_data('{canary}'))"),
    "shelve": _then("import shelve\nshelve.open('{target}')"),
    "passwords": _then("print(open('/etc/passwd').read())"),
    "keys": _then("import os\nprint(os.listdir('/root/.ssh'), os.listdir('/home'))"),
    "devices": _then("print(open('/dev/urandom', 'rb').read(4))"),
    "the terminal": _then("open('/dev/tty', 'w').write('x')"),
    "shared memory": _then("open('/dev/shm/rlm-escape', 'w').write('x')"),
    # The environment and what /proc tells.
    "os.environ": _then("import os\nprint(os.environ['RLM_TEST_SECRET'])"),
    "getenv": "import os\nassert os.getenv('RLM_TEST_SECRET') is not None\nprint('ESCAPED')",
    "own environ": _then("print(open('/proc/self/environ').read())"),
    "environ of the host": _then("print(open('/proc/{pid}/environ').read())"),
    "command line of the host": _then("print(open('/proc/{pid}/cmdline').read())"),
    "memory of the host": _then("print(open('/proc/{pid}/mem', 'rb').read(1))"),
    "descriptors of the host": _then("import os\nprint(os.listdir('/proc/{pid}/fd'))"),
    "own maps": _then("print(open('/proc/self/maps').read())"),
    "root by /proc": _then("print(open('/proc/self/root{canary}').read())"),
    "folder by /proc": _then("print(open('/proc/{pid}/cwd/pyproject.toml').read())"),
    "connections": _then("print(open('/proc/net/tcp').read())"),
    "settings of the kernel": _then("open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')"),
    "cgroups": _then("import os\nprint(os.listdir('/sys/fs/cgroup'))"),
    # The network.
    "connect": _then("import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)"),
    "unix socket": _then("import socket\nsocket.socket(socket.AF_UNIX).connect('{unix}')"),
    "datagram": _then("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"),
    "listen": _then("import socket\nsocket.create_server(('127.0.0.1', 0))"),
    "raw socket": _then("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    "netlink": _then("import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)"),
    "socket pair": _then("import socket\nsocket.socketpair()"),
    "urllib": _then("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/', timeout=1)"),
    "http.client": _then("import http.client\nhttp.client.HTTPConnection('127.0.0.1', {port}, timeout=1).request('GET', '/')"),
    "asyncio": _then("import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', {port}))"),
    "names": _then("import socket\nsocket.getaddrinfo('localhost', 80)"),
    # Other programs and processes.
    "system": "import os\nassert os.system('touch {target}') == 0\nprint('ESCAPED')",
    "popen": _then("import os\nprint(os.popen('cat {canary}').read() or 1 / 0)"),
    "subprocess": _then("import subprocess\nprint(subprocess.check_output(['cat', '{canary}']))"),
    "exec": _then("import os\nos.execv('/bin/cat', ['cat', '{canary}'])"),
    "spawn": _then("import os\nprint(os.posix_spawn('/bin/true', ['true'], {}))"),
    "fork": _then("import os\nos.fork()"),
    "forkpty": _then("import pty\npty.fork()"),
    "multiprocessing": _then("import multiprocessing\nmultiprocessing.Process(target=print).start()"),
    "process pool": _then("import concurrent.futures as f\nf.ProcessPoolExecutor(1).submit(print).result()"),
    "kill the host": _then("import os, signal\nos.kill({pid}, signal.SIGKILL)"),
    "stop the host": _then("import os\nos.kill({pid}, 19)"),
    "kill the group": _then("import os\nos.killpg(0, 9)"),
    "kill all": _then("import os\nos.kill(-1, 9)"),
    "kill itself": _then("import os\nos.kill(os.getpid(), 9)"),
    "signal by descriptor": _then("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({pid}), 0)"),
    "handlers": _then("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"),
    "alarm": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 100)\nprint('ESCAPED')",
    "set-user": _then("import os\nos.setuid(12345)"),
    "priority": _then("import os\nos.setpriority(os.PRIO_PROCESS, {pid}, 19)"),
    "limits": _then("import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))"),
    "limits of the host": _then("import resource\nresource.prlimit({pid}, resource.RLIMIT_NOFILE, (1, 1))"),
    # Introspection and imports.
    "subclasses": "for kind in ().__class__.__base__.__subclasses__():\n    if kind.__name__ == '_wrap_close':\n"
    "        kind.__init__.__globals__['__builtins__']['open']('{canary}').read()\n        print('ESCAPED')\nraise LookupError",
    "subclasses to os.system": "for kind in ().__class__.__base__.__subclasses__():\n    if kind.__name__ == '_wrap_close':\n"
    "        assert kind.__init__.__globals__['system']('touch {target}') == 0\n        print('ESCAPED')\nraise LookupError",
    "globals of a host function": _then("print(echo.__globals__['os'].environ['RLM_TEST_SECRET'])"),
    "closure of a host function": _then("print(echo.__closure__[0].cell_contents._host._call)"),
    "frames": "import sys\nframe = sys._getframe()\nwhile frame:\n    assert 'RLM_TEST_SECRET' not in str(frame.f_globals.get('os'))\n"
    "    frame = frame.f_back\nraise LookupError",
    "traceback": "try:\n    fail()\nexcept RuntimeError as error:\n"
    "    frame = error.__traceback__.tb_frame\n    print(frame.f_back.f_back.f_back.f_back.f_back.f_back.f_locals['call'], 'ESCAPED')",
    "generator frames": _then("g = (i for i in [1])\nprint(g.gi_frame.f_back.f_back.f_globals['call'])"),
    # A dict of all interned texts, which Python 3.14 lets the collector show, has the word of this cell itself.
    "objects": "import gc\nword = 'RLM_TEST_SECRET'\nfor found in gc.get_objects():\n"
    "    if isinstance(found, dict) and found.get(word, word) != word:\n        print('ESCAPED')\nraise LookupError",
    "builtins": _then("print(__builtins__['open']('{canary}').read())"),
    "__import__": _then("print(__import__('os').environ['RLM_TEST_SECRET'])"),
    "importlib": _then("import importlib\nprint(importlib.import_module('os').environ['RLM_TEST_SECRET'])"),
    "module of the working directory": _then("import escape_canary_module"),
    "path of modules": _then("import sys\nsys.path.insert(0, '{folder}')\nimport escape_canary_module"),
    "eval": _then("eval(\"__import__('os').remove('{canary}')\")"),
    "exec code": _then("exec(compile(\"open('{target}', 'w')\", 'x', 'exec'))"),
    "code object": _then("f = (lambda: 0)\nf.__code__ = f.__code__.replace(co_code=b'')\nprint(open('{canary}').read())"),
    "format string": _then("print('{0.__globals__[os].environ[RLM_TEST_SECRET]}'.format(echo))"),
    "format of an attribute": _then("print('{0.__class__.__init__.__globals__[sys].modules[os].environ[RLM_TEST_SECRET]}'.format(echo))"),
    "format map": _then("print('{x.__globals__[__builtins__][open]}'.format_map({'x': fail})('{canary}'))"),
    "percent format": _then("print('%(RLM_TEST_SECRET)s' % __import__('os').environ)"),
    "pickle": "import pickle\nassert pickle.loads(b\"cposix\\nsystem\\n(S'touch {target}'\\ntR.\") == 0\nprint('ESCAPED')",
    "pickle to the host": "class Evil:\n    def __reduce__(self):\n        return (eval, (\"open('{target}', 'w')\",))\necho(Evil())\nraise LookupError",
    "pickled bytes to the host": "echo(b\"cposix\\nsystem\\n(S'touch {target}'\\ntR.\")\nraise LookupError",
    "marshal": _then("import marshal\nexec(marshal.loads(marshal.dumps(compile(\"open('{canary}').read()\", 'x', 'exec'))))"),
    "yaml": _then("import yaml\nyaml.unsafe_load('!!python/object/apply:os.remove [{canary}]')"),
    "attributes of the host": _then("print(echo.__self__, fail.__func__.__globals__)"),
    "module of a function": _then("print(__import__(echo.__module__).os.environ['RLM_TEST_SECRET'])"),
    "unknown host function": _then("print(open_file('{canary}'))"),
    "unknown readable": _then("context.name = 'other'\ncontext._name = 'other'\nprint(context.read(0, 5))"),
    "method of a readable": _then("print(_rlm_read('context', '__class__'), _rlm_read('context', 'text'))"),
    "answer by code": _then("FINAL_VAR(\"__import__('os').getcwd()\")"),
    # Memory.
    "bytes": _then("x = bytearray(4_000_000_000)"),
    "text": _then("x = 'x'\nwhile True: x += x"),
    "list": _then("x = [0] * 2_000_000_000"),
    "growing list": _then("x = [0]\nwhile True: x.extend(x)"),
    "dict": _then("x = {}\nwhile True: x[len(x)] = 'x' * 1000"),
    "power": _then("x = 1 << 100_000_000_000"),
    "recursion": _then("def f(n): return f(n + 1) + 1\nf(0)"),
    "nested list": _then("x = []\nfor _ in range(300): x = [x]\necho(x)"),
    "references": _then("x = ['x'] * 10\nfor _ in range(30): x = [x] * 10\necho(x)"),
    "answer of references": _then("x = ['x'] * 10\nfor _ in range(30): x = [x] * 10\nFINAL(x)"),
    "long argument": _then("echo('x' * 50_000_000)"),
    "long name": _then("echo(**{'x' * 30_000_000: 1})"),
    "permutations": _then("import itertools\nlist(itertools.permutations(range(12)))"),
    "repeat": _then("import itertools\nlist(itertools.repeat(0))"),
    "decompression": _then("import zlib\nx = zlib.compress(b'0' * 100_000_000)\ny = [zlib.decompress(x) for _ in range(50)]"),
    "json": _then("import json\njson.loads('[' * 1_000_000 + ']' * 1_000_000)"),
    "shared memory by mmap": _then("import mmap\nx = mmap.mmap(-1, 2_000_000_000)"),
    # Time.
    "endless loop": _then("while True: pass"),
    "endless loop that catches": _then("while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
    "endless sum": _then("x = sum(range(10**13))"),
    "endless pattern": _then("import re\nassert re.match('(a|a)+$', 'a' * 60 + 'b')"),
    "large product": _then("x = 7 ** 20_000_000\ny = str(x % 10 ** 4_000_000)"),
    "endless sort": _then("x = list(range(10**6))\nwhile True: x = sorted(x, key=lambda n: -n)"),
    "endless iterator": _then("x = max(iter(int, 1))"),
    "endless host calls": _then("while True: echo(1)"),
    # Output.
    "endless output": _then("while True: print('x' * 10_000)"),
    "endless lines": _then("while True: print()"),
    "long error": _then("raise ValueError('x' * 30_000_000)"),
    "error that lies": "class Lie(Exception):\n    def __str__(self): raise MemoryError\nraise Lie",
    "text that ends nowhere": "print('\\ud800' * 1000 + '\\x1b[2J\\x00')\nraise ValueError('\\ud800')",
    # Syntax.
    "many brackets": "(" * 20_000 + ")" * 20_000,
    "many minus signs": "x = " + "-" * 100_000 + "1",
    "null bytes": "x = 1\x00",
    "deep blocks": "\n".join(" " * depth + "if 1:" for depth in range(150)) + "\n" + " " * 150 + "undefined",
    "exit": "import sys\nsys.exit(0)",
    "abrupt exit": "import os\nos._exit(0)",
    "quit": "raise SystemExit",
    "interrupt": "raise KeyboardInterrupt",
}  # fmt: skip

MONTY = {
    "read too much": "context.read(0, 10**12)\ncontext.read(-10**30, 10**30)\n1 / 0",
    "types for readables": "context.read([], {})",
    "pattern for readables": "context.search(b'x')",
    "chunks of nothing": "context.chunks(0)",
    "class of a value": "print((1).__class__, 'ESCAPED')",
    "bases": "print(type(1).__mro__, 'ESCAPED')",
    "dict of an object": "print(context.__dict__['name'], 'ESCAPED')",
    "globals": "print(globals(), 'ESCAPED')",
    "sys.modules": "import sys\nprint(sys.modules, 'ESCAPED')",
}

PYTHON = {
    # Of the process itself.
    "interrupt the main thread": "import _thread\n_thread.interrupt_main()",
    "interrupt from a thread": "from concurrent.futures import ThreadPoolExecutor\nimport _thread\n"
    "with ThreadPoolExecutor(1) as pool: pool.submit(_thread.interrupt_main).result()",
    # System calls, without Python between.
    "libc open": f"{_C}fd = libc.open(b'{{canary}}', 0)\nassert fd >= 0, os.strerror(ctypes.get_errno())\nprint('ESCAPED')",
    "libc system": f"{_C}assert libc.system(b'touch {{target}}') == 0\nprint('ESCAPED')",
    "libc getenv": f"{_C}libc.getenv.restype = ctypes.c_char_p\nassert libc.getenv(b'RLM_TEST_SECRET')\nprint('ESCAPED')",
    "ptrace": _call("(101, 117)", "16", "{pid}", "0", "0"),
    "read memory of the host": _call("(310, 270)", "{pid}", "0", "0", "0", "0", "0"),
    "write memory of the host": _call("(311, 271)", "{pid}", "0", "0", "0", "0", "0"),
    "descriptor of the host": _call("(438, 438)", "3", "0", "0"),
    "pidfd_open": _call("(434, 434)", "{pid}", "0"),
    "clone a process": _call("(56, 220)", "17", "0", "0", "0", "0"),
    "clone with a namespace": _call("(56, 220)", "0x10010100", "0", "0", "0", "0"),
    "clone3": _call("(435, 435)", "ctypes.create_string_buffer(88)", "88"),
    "vfork": f"{_C}assert libc.vfork() > 0\nprint('ESCAPED')",
    "execve": _call("(59, 221)", "b'/bin/true'", "0", "0"),
    "execveat": _call("(322, 281)", "-100", "b'/bin/true'", "0", "0", "0"),
    "memfd": _call("(319, 279)", "b'x'", "0"),
    "io_uring": _call("(425, 425)", "1", "ctypes.create_string_buffer(120)"),
    "bpf": _call("(321, 280)", "0", "0", "0"),
    "perf": _call("(298, 241)", "ctypes.create_string_buffer(112)", "0", "-1", "-1", "0"),
    "userfaultfd": _call("(323, 282)", "0"),
    "keyctl": _call("(250, 219)", "0", "-3", "0", "0", "0"),
    "add_key": _call("(248, 217)", "b'user'", "b'x'", "b'y'", "1", "-3"),
    "unshare": _call("(272, 97)", "0x10000000"),
    "setns": _call("(308, 268)", "3", "0"),
    "mount": _call("(165, 40)", "b'none'", "b'{folder}'", "b'tmpfs'", "0", "0"),
    "open_tree": _call("(428, 428)", "-100", "b'/'", "1"),
    "pivot_root": _call("(155, 41)", "b'/'", "b'/'"),
    "open by handle": _call("(304, 265)", "-100", "ctypes.create_string_buffer(200)", "0"),
    "personality": _call("(135, 92)", "0"),
    "raise limits": _call("(302, 261)", "0", "2", "ctypes.create_string_buffer(b'\\xff' * 16, 16)", "0"),
    "second filter": _call("(317, 277)", "1", "0", "0"),
    "prctl": _call("(157, 167)", "4", "1", "0", "0", "0"),
    "signals by number": _call("(129, 138)", "{pid}", "9", "0"),
    "tgkill": _call("(234, 131)", "{pid}", "{pid}", "9"),
    "handlers by number": _call("(13, 134)", "15", "0", "0", "8"),
    "socket by number": _call("(41, 198)", "2", "1", "0"),
    "pipe": _call("(293, 59)", "ctypes.create_string_buffer(8)", "0"),
    "eventfd": _call("(290, 19)", "0", "0"),
    "inotify": _call("(294, 26)", "0"),
    "message queue": _call("(240, 180)", "b'x'", "0o102", "0o600", "0"),
    "SysV shared memory": _call("(29, 194)", "0", "4096", "0o1600"),
    "syslog": _call("(103, 116)", "3", "ctypes.create_string_buffer(100)", "100"),
    "module": _call("(175, 105)", "0", "0", "b''"),
    "reboot": _call("(169, 142)", "0xfee1dead", "672274793", "0", "0"),
    "clock": _call("(227, 112)", "0", "ctypes.create_string_buffer(16)"),
    "ports": _call("(173, 400)", "3"),
    "affinity of the host": _call("(203, 122)", "{pid}", "8", "ctypes.create_string_buffer(b'\\1', 8)"),
    "swap": _call("(167, 224)", "b'/x'", "0"),
    "quota": _call("(179, 60)", "0", "0", "0", "0"),
    "new system calls": _call("(470, 470)", "0", "0", "0"),
    "the x32 interface": _call("(0x40000000 + 57, 1 << 20)", "0"),
    "mmap that grows downwards": _call("(9, 222)", "0", "1 << 30", "3", "0x122", "-1", "0"),
    "mmap shared": _call("(9, 222)", "0", "1 << 30", "3", "0x21", "-1", "0"),
    "terminal": _call("(16, 29)", "0", "0x5412", "b'x'"),
    "the old interface of i386": (
        f"{_C}import platform\nassert platform.machine() == 'x86_64'\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "page = libc.mmap(None, 4096, 7, 0x22, -1, 0)\n"
        "ctypes.memmove(page, bytes.fromhex('b802000000cd80c3'), 8)\n"
        "result = ctypes.CFUNCTYPE(ctypes.c_int)(page)()\nassert result > 0, result\nprint('ESCAPED')"
    ),
    # Files that may be read, and what is beside them.
    "out of the packages": _then("import json, os\nprint(open(os.path.dirname(json.__file__) + '/../../../../../../../..{canary}').read())"),
    "relative to a descriptor": _then(
        "import json, os\nplace = os.open(os.path.dirname(json.__file__), os.O_RDONLY | os.O_DIRECTORY)\n"
        "print(os.read(os.open('../../../../../../../../..{canary}', os.O_RDONLY, dir_fd=place), 100))"
    ),
    "reopened descriptor": _then("import os\nplace = os.open('{canary}', os.O_PATH)\nprint(open(f'/proc/self/fd/{place}').read())"),
    "descriptor of a path": _then("import os\nprint(os.read(os.open('{canary}', os.O_PATH), 10))"),
    "write into the packages": _then("import json\nopen(json.__file__, 'a').write('x')"),
    "sitecustomize": _then("import json, os\nopen(os.path.dirname(json.__file__) + '/sitecustomize.py', 'w').write('x')"),
    "extended attributes": _then("import os\nos.setxattr('{canary}', 'user.x', b'x')"),
    "pandas": _then("import pandas\nprint(pandas.read_csv('{canary}'))"),
    "numpy": _then("import numpy\nnumpy.save('{target}', numpy.zeros(3))"),
    # Descriptors and the protocol.
    "standard output": _then("import os\nos.write(1, b'x')"),
    "standard error": _then("import os\nos.write(2, b'x')"),
    "standard input": _then("import os\nos.write(0, b'x')"),
    "other descriptors": "import os\nfor fd in range(4, 64):\n    try:\n        os.write(fd, b'{')\n    except OSError:\n        pass\nraise LookupError",
    "garbage to the host": _then("import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 100)\n    except OSError: pass\nimport time\nwhile True: pass"),
    "long message": _then(_HOST + "os.write(host._descriptor, b'\\x7f\\xff\\xff\\xff' + b'[' * 100)\nwhile True: pass"),
    "deep message": _then(_HOST + "body = b'[' * 100_000\nos.write(host._descriptor, len(body).to_bytes(4, 'big') + body)\nwhile True: pass"),
    "wide message": _then(_HOST + "body = memoryview(b'\\x00\\xf4\\x24\\x00' + b'[' + b'[],' * 5_333_332 + b'0]  ')\nwhile body: body = body[os.write(host._descriptor, body):]\nwhile True: pass"),
    "message of other types": _then(_HOST + "host.send({'call': [], 'name': {}, 'args': 5, 'kwargs': None})\nwhile True: pass"),
    "result of other types": _then(_HOST + "host.send({'done': {'stdout': 5, 'value': [], 'error': {}}})\nwhile True: pass"),
    "no message": _then(_HOST + "host.send({})\nwhile True: pass"),
    "bytes that are none": _then(_HOST + "body = b'{\"__bytes__\": \"!\"}'\nos.write(host._descriptor, len(body).to_bytes(4, 'big') + body)\nwhile True: pass"),
    "forged call": _HOST + "print(host.call('open', ('{canary}',), {}), 'ESCAPED')",
    "forged read": _HOST + "print(host.call('_rlm_read', ('context', '__class__'), {}), 'ESCAPED')",
    "forged reads": _HOST + "print(host.call('_rlm_read', (), {'x': 1}), 'ESCAPED')",
    "many calls": _then(_HOST + "n = 0\nwhile True:\n    n += 1\n    host.send({'call': n, 'name': 'echo', 'args': (n,), 'kwargs': {}})"),
    "stolen message": _then(_HOST + "os.read(host._descriptor, 100)"),
    "closed connection": _then(_HOST + "os.close(host._descriptor)\nwhile True: pass"),
    # The process itself.
    "null pointer": _then("import ctypes\nctypes.string_at(0)"),
    "wild write": _then("import ctypes\nctypes.memset(0x1000, 1, 100)"),
    "abort": _then(f"{_C}libc.abort()"),
    "malloc": f"{_C}libc.malloc.restype = ctypes.c_void_p\nassert libc.malloc(ctypes.c_size_t(8 << 30))\nprint('ESCAPED')",
    "threads": _then("import threading, time\nlock = threading.Lock()\nlock.acquire()\nwhile True: threading.Thread(target=lock.acquire, daemon=True).start()"),
    "deadlock": _then("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
    "descriptors": _then("import json, os\nx = [os.open(json.__file__, os.O_RDONLY) for _ in range(1000)]"),
    "deep recursion": _then("import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
    "numpy memory": _then("import numpy\nx = numpy.ones((100_000, 100_000))"),
    "audit hook": _then("import sys\nsys.addaudithook(lambda *a: None)\nprint(open('{canary}').read())"),
    "signal mask": _then("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: pass"),
    "own limits": _then("import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nx = bytearray(4 << 30)"),
}  # fmt: skip
