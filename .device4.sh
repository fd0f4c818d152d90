set -o pipefail
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit
cd .gpu; export PYTHONPATH=/tmp/site:. PYTHONUNBUFFERED=1
timeout 120 python3 -W ignore .debug.py > $OUT/debug.txt 2>&1; head -50 $OUT/debug.txt | cut -c1-220
