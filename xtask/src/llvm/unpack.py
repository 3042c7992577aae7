"""Unpacks a wheel into the working directory if its SHA-256 is the given one.

Exit status 3 says that it is not, with the hash that was found on standard output.
"""
import hashlib
import sys
import zipfile

wheel, expected = sys.argv[1:]
try:
    digest = hashlib.sha256()
    with open(wheel, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != expected:
        print(digest.hexdigest())
        sys.exit(3)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall()
except (OSError, zipfile.BadZipFile) as error:
    sys.exit(str(error))
