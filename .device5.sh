set -o pipefail
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit
cd .gpu; export PYTHONPATH=/tmp/site:. PYTHONUNBUFFERED=1
timeout 60 python3 -W ignore .debug.py > $OUT/debug.txt 2>&1; head -80 $OUT/debug.txt | cut -c1-220
timeout 150 python3 -m pytest -n 12 -q -p no:cacheprovider -p no:benchmark --timeout=140 tests/gpu > $OUT/gpu_tests.txt 2>&1; tail -30 $OUT/gpu_tests.txt | cut -c1-200
timeout 60 python3 -m benchmarks.bench --device cuda --budget 3 --only W8 W8L W4L --name gpu > $OUT/bench.txt 2>&1; grep -A8 "time of a run" $OUT/bench.txt | cut -c1-220; tail -12 $OUT/bench.txt | cut -c1-300
