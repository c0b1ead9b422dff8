"Files larger than memory go through"
import json, subprocess, sys
import pytest

@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_file_far_larger_than_what_is_held_of_it_is_converted(ending, tmp_path):
    "The memory of `mnreward rankings --out` does not grow with the file: 60 MB take no more than 6"
    import csv
    def peak(rows):
        file, out = tmp_path/f"{rows}.{ending}", tmp_path/f"{rows}.out.jsonl"
        made = (dict(prompt=f"Question {n}?", ranked_outputs=["good " * 1000 + str(n), "bad " * 1000]) for n in range(rows))
        with open(file, "w", newline="") as f:
            if ending == "csv":
                writer = csv.DictWriter(f, ["prompt", "ranked_outputs"])
                writer.writeheader()
                for row in made: writer.writerow(row | dict(ranked_outputs=json.dumps(row["ranked_outputs"])))
            elif ending == "json": f.write("[" + ",\n".join(map(json.dumps, made)) + "]")
            else: f.writelines(json.dumps(row) + "\n" for row in made)
        code = "import resource, sys; from mnreward.cli import main; rc = main(sys.argv[1:]); print(rc or 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        run = subprocess.run([sys.executable, "-c", code, "rankings", file, "--out", out], capture_output=True, text=True)
        rc, kilobytes = run.stdout.split()[-2:]
        assert rc == "0" and sum(1 for _ in out.open()) == rows, run.stderr
        return int(kilobytes) / 1e3
    assert peak(6600) < peak(660) + 15
