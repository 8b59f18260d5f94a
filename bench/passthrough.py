"""The quick look, half a minute: what a cancel costs over a bare pass-through. Prints, and writes nothing.

    python -m bench.passthrough [--rounds 7] [--requests 2000] [--lanes 16]

It is `python -m bench.side_by_side --only cost --targets passthrough,gateway-hashkey`, and takes its options.
"""

import sys

from bench.side_by_side.__main__ import main

if __name__ == "__main__":
    sys.argv[1:1] = ["--only", "cost", "--targets", "passthrough,gateway-hashkey"]
    main()
