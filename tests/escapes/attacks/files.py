"""Files: filling the disk, tricks with links and devices, writing where it should not be."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, OLE = Verdict.AC, Verdict.OLE
CPP = Language.CPP

ATTACKS = (
    Attack("files: one big file", (AC,), """
static void attack() {
    static char block[1 << 20];
    int fd = open("big", O_CREAT | O_WRONLY, 0600);
    for (int i = 0; i < 80; ++i) if (write(fd, block, sizeof block) != sizeof block) return;
    escaped("80 MiB");
}
""", CPP, seen_on=("generous",)),
    Attack("files: a sparse terabyte", (AC,), """
static void attack() {
    int fd = open("sparse", O_CREAT | O_WRONLY, 0600);
    if (ftruncate(fd, 1l << 40) == 0) escaped("1 TiB");
}
""", CPP, seen_on=("no-rlimits",)),
    Attack("files: many files in every writable place", (AC,), """
def attack():
    written, block = 0, b"x" * (4 << 20)
    for i in range(7):
        for place in (os.getcwd(), "/tmp", "/dev/shm"):
            with open(f"{place}/{HOST['nonce']}-{i}", "wb") as file:
                written += file.write(block)
    escaped(f"{written} bytes")
""", seen_on=("generous",)),
    Attack("files: 400,000 empty ones", (OLE,), """
SOLVE(
    static bool made = false;
    honest(x, y, rows * cols, eps);
    if (made) escaped("400,000 files and still there");
    char name[32];
    for (long i = 0; i < 400000 && !made; ++i) {
        snprintf(name, sizeof name, "f%ld", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd >= 0) close(fd);
    }
    made = true;
)
""", CPP, seen_on=("unwatched",), patient=True),
    Attack("files: inodes without end", (OLE,), """
static void attack() {
    char name[32];
    for (long i = 0;; ++i) {
        snprintf(name, sizeof name, "f%ld", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd >= 0) close(fd);
    }
}
""", CPP, why_unseen="success would never end"),
    Attack("files: deep folders and odd names", (AC,), """
def attack():
    for name in (b"x" * 255, b"\\xff\\xfe\\n", b"-rf", b"\\x1b[2J"):
        os.mkdir(name)
    for _ in range(300):
        os.mkdir("d")
        os.chdir("d")
""", why_unseen="it stays in its own place; what it may break is the judge's tidying up"),
    Attack("files: a link in place of the work", (AC,), """
def attack():
    for name in ("solution.so", "out", ".solution.so", ".solution.symbols"):
        os.symlink(HOST["canary"], name)
    with open("out", "a") as file:
        file.write("mine")
    escaped("wrote through a link")
""", seen_on=("dummy",)),
    Attack("files: a hard link to a file of the host", (AC,), """
def attack():
    for old, new in ((HOST["canary"], HOST["open"] + "/linked"), ("/etc/passwd", "passwd"),
                     ("/usr/bin/env", "env"), (sys.executable, "python")):
        try:
            os.link(old, new)
        except OSError:
            continue
        escaped(f"linked {old}")
""", seen_on=("dummy",)),
    Attack("files: FIFOs and sockets in place of files", (AC,), """
def attack():
    for name in ("solution.so", ".solution.so", "out"):
        os.mkfifo(name)
    os.mknod("sock", 0o140600)
""", why_unseen="it stays in its own place; what it may break is the judge's tidying up"),
    Attack("files: make a device", (AC,), """
def attack():
    for mode, device in ((0o020666, (1, 3)), (0o060666, (8, 0))):
        if mode & 0o040000 and os.geteuid() == 0:
            continue  # never the disk, where it would work
        os.mknod("device", mode, os.makedev(*device))
        os.unlink("device")
        escaped("a device")
""", seen_on=("dummy",)),
    Attack("files: make the device that anybody may make", (AC,), """
def attack():
    os.mknod("whiteout", 0o020666, 0)
    escaped("a device of number 0:0")
""", seen_on=("no-landlock",)),
    Attack("files: change the mode of a device of the host", (AC,), """
def attack():
    os.chmod("/dev/null", 0o666)  # the mode it has
    escaped("chmod /dev/null")
""", seen_on=("no-drop-root",)),
    Attack("files: own a device of the host", (AC,), """
def attack():
    for name in ("null", "zero", "full", "random", "urandom"):
        status = os.stat(f"/dev/{name}")
        os.utime(f"/dev/{name}", ns=(status.st_atime_ns, status.st_mtime_ns))
        escaped(f"touched /dev/{name}")
""", seen_on=("no-drop-root",)),
    Attack("files: write into the system", (AC,), """
def attack():
    places = ("/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/opt", "/.opjudge",
              "/.opjudge/sandbox/harness", sys.prefix, os.path.dirname(os.__file__))
    for place in places:
        if os.access(place, os.W_OK):
            escaped(f"{place} can be written")
    with open(HOST["open"] + "/mine", "w"):
        escaped("a file of the host")
""", seen_on=("dummy",)),
    Attack("files: replace the interpreter's library", (AC,), """
def attack():
    for path in (os.__file__, np.__file__, sys.executable, "/etc/ld.so.cache", "/etc/passwd"):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        except OSError:
            continue
        escaped(f"{path} can be written")
""", seen_on=("dummy",)),
    Attack("files: preload a library into everybody", (AC,), """
def attack():
    os.environ["LD_PRELOAD"] = os.getcwd() + "/evil.so"
    if os.access("/etc/ld.so.preload", os.W_OK) or os.access("/etc", os.W_OK):
        escaped("ld.so.preload")
    os.posix_spawn("/usr/bin/env", ["env"], os.environ)
    escaped("started with LD_PRELOAD")
""", seen_on=("dummy",)),
    Attack("files: run a setuid program", (AC,), """
import glob, stat
def attack():
    for path in sorted(glob.glob("/usr/bin/*") + glob.glob("/bin/*")):
        if os.stat(path).st_mode & stat.S_ISUID:
            pid = os.posix_spawn(path, [path, "--version"], {})
            os.waitpid(pid, 0)
            escaped(f"started {path}")
            break
""", seen_on=("dummy",)),
    Attack("files: make a setuid program of its own", (AC,), """
def attack():
    with open("mine", "wb") as file:
        file.write(b"#!/bin/sh")
    os.chmod("mine", 0o6755)
    os.posix_spawn("./mine", ["mine"], {})
    escaped("started its own program")
""", why_unseen="a program it starts has its own rights; see posix_spawn"),
    Attack("files: leave something for the next submission", (AC,), """
def attack():
    for place in (os.path.dirname(os.getcwd()), "/tmp", "/dev/shm", "/var/tmp", "/run"):
        path = f"{place}/{HOST['nonce']}-left"
        if os.path.exists(path):
            escaped(f"{path} is still there")
        try:
            open(path, "w").close()
        except OSError:
            pass
""", seen_on=("dummy",), twice=True),
    Attack("files: climb out by ..", (AC,), """
def attack():
    for path in ("../" * 30 + HOST["canary"].lstrip("/"), "/work/../" + HOST["canary"],
                 "/tmp/.." + HOST["canary"], "/dev/shm/../.." + HOST["canary"]):
        try:
            os.stat(path)
        except OSError:
            continue
        escaped(path)
""", seen_on=("dummy",)),
)  # fmt: skip
