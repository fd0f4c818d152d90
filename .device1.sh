set -o pipefail
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit
cd .gpu; export PYTHONPATH=/tmp/site:. PYTHONUNBUFFERED=1
nvidia-smi -L; python3 -c "import torch, jax; print(torch.__version__, jax.__version__, jax.devices(), torch.cuda.get_device_name())"
timeout 270 python3 -m pytest -n 12 -q -p no:cacheprovider --timeout=200 tests/gpu > $OUT/gpu_tests.txt 2>&1; tail -60 $OUT/gpu_tests.txt | cut -c1-300
timeout 160 python3 -m benchmarks.bench --device cuda --budget 3 --only W1 W2 W3 W4 W5 W6a W6b W7s W8 W9a W9b W11a W11b W11c W4L W8L --name gpu > $OUT/bench.txt 2>&1; tail -80 $OUT/bench.txt | cut -c1-220
cp -r benchmarks/results/gpu* $OUT/
timeout 120 python3 -m pytest -n 15 -q -p no:cacheprovider --timeout=100 tests/execute tests/interop tests/passes > $OUT/cpu_tests.txt 2>&1; tail -20 $OUT/cpu_tests.txt | cut -c1-300
