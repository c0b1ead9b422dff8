"mnreward's command line as torchrun starts it: score_in_processes.py WORDS"
import sys
from mnreward.cli import main
sys.exit(main(sys.argv[1:]))
