import torch, warnings
import adjoint as ad
from adjoint.execute.cudagraph import CudaGraph
from adjoint.execute.plan import Plan

s = torch.randn(3, 3, dtype=torch.float64).cuda()
s = s + s.T
x = ad.Variable('x', (3, 3), torch.float64)
L = torch.linalg
for name, f in (
    ('eigh', lambda x: L.eigvalsh(x)),
    ('svd', lambda x: L.svdvals(x)),
    ('inv', lambda x: L.inv(x)),
    ('solve', lambda x: L.solve(x, x)),
    ('chol', lambda x: L.cholesky(x @ x + x @ x)),
    ('det', lambda x: L.det(x)),
    ('qr', lambda x: L.qr(x)[1]),
    ('masked', lambda x: torch.masked_select(x, x > 0)),
    ('sort', lambda x: torch.sort(x)[0]),
    ('conv', lambda x: torch.nn.functional.conv2d(x[None, None], x[None, None])),
):
    try:
        e = ad.Evaluator([f(x)], executor=CudaGraph(Plan(at_first_sight=True)))
        for _ in range(3):
            r = e.run({x: s})
        print(name, 'ok', e.state({x: s})[:150], torch.allclose(r[0], f(s)))
    except Exception as error:
        print(name, 'FAILS', type(error).__name__, str(error).splitlines()[0][:200])
    for t in range(2):
        try:
            torch.cuda.synchronize()
            L.eigvalsh(s)
            L.inv(s)
            L.qr(s)
            torch.cuda.synchronize()
        except Exception as error:
            print('   after', name, 'torch itself fails:', str(error).splitlines()[0][:200])
print('--- W1 allocations')
from benchmarks.workloads import ALL
from torch.profiler import profile, ProfilerActivity

w = ALL[0]
given = [v.cuda() for v in w.make()]
vs, nodes = w.nodes(given)
e = ad.Evaluator(nodes)
run = e.over(vs)
for _ in range(3):
    run(given)
with profile(
    activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], profile_memory=True, record_shapes=True
) as p:
    run(given)
ev = sorted(p.profiler.kineto_results.events(), key=lambda e: e.start_ns())
last = ''
live = 0
rows = []
for v in ev:
    if v.name() == '[memory]':
        if 'CUDA' in str(v.device_type()):
            live += v.nbytes()
            rows.append((live, v.nbytes(), last))
    elif v.name().startswith('aten::'):
        last = v.name() + str(v.shapes())
top = max(range(len(rows)), key=lambda i: rows[i][0])
for r in rows[max(0, top - 25) : top + 3]:
    print(r)
print(e.memory(dict(zip(vs, given))))
