set -o pipefail
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit
cd .gpu; export PYTHONPATH=/tmp/site:. PYTHONUNBUFFERED=1
timeout 240 python3 -m pytest -n 12 -q -p no:cacheprovider -p no:benchmark --timeout=200 tests/gpu > $OUT/gpu_tests.txt 2>&1; tail -80 $OUT/gpu_tests.txt | cut -c1-250
timeout 60 python3 -m benchmarks.bench --device cuda --budget 3 --only W5 W8 W8L --name gpu > $OUT/bench.txt 2>&1; grep -A8 "time of a run" $OUT/bench.txt | cut -c1-220; tail -5 $OUT/bench.txt | cut -c1-300
cp -r benchmarks/results/gpu* $OUT/
timeout 60 python3 -m benchmarks.bench --device cuda --budget 3 --only W3 --compile --competitors compiled jax torch.compile "with cudagraphs" cudagraph --name gpuc > $OUT/benchc.txt 2>&1; tail -40 $OUT/benchc.txt | cut -c1-250
