set -o pipefail
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit
cd .gpu; export PYTHONPATH=/tmp/site:. PYTHONUNBUFFERED=1
timeout 280 python3 -m pytest -n 12 -q -p no:cacheprovider -p no:benchmark --timeout=200 tests/gpu > $OUT/gpu_tests.txt 2>&1; tail -100 $OUT/gpu_tests.txt | cut -c1-200
