"""What some tests need and a machine may lack: they are skipped then, and a run ends with a line for each reason.

With TEST_EVERYTHING set, as by .ci/run, a run in which something was skipped has failed.
"""

from typing import Final

VARIABLE: Final = "TEST_EVERYTHING"

PANGO: Final = (
    "Pango is missing: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0, or brew install pango"
)
BROWSER: Final = "Chromium is missing: apt-get install chromium, or install Google Chrome"
NODE: Final = "Node or npm is missing: apt-get install nodejs npm, or brew install node"
OPENSSL: Final = "openssl is missing: apt-get install openssl, or brew install openssl"
PROC: Final = "there is no /proc, which Linux has"
