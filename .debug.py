import torch, warnings, traceback

print('--- reflection')
for det in (False, True):
    torch.use_deterministic_algorithms(det, warn_only=True)
    for nd, shape, pad in (
        (1, (2, 5), (2, 1)),
        (2, (2, 4, 3), (1, 1, 2, 1)),
        (3, (1, 2, 4, 4, 3), (1, 1, 2, 1, 1, 1)),
    ):
        x = torch.arange(float(torch.Size(shape).numel()), dtype=torch.float64).reshape(shape)
        y = torch.nn.functional.pad(x, pad, mode='reflect')
        g = torch.ones_like(y)
        f = getattr(torch.ops.aten, f'reflection_pad{nd}d_backward')
        a = f(g, x, pad)
        b = f(g.cuda(), x.cuda(), pad).cpu()
        ge = torch.ones((), dtype=torch.float64).expand(y.shape)
        c = f(ge.cuda(), x.cuda(), pad).cpu()
        print(
            det,
            nd,
            torch.equal(a, b),
            torch.equal(a, c),
            a.flatten()[:12].tolist(),
            b.flatten()[:12].tolist(),
        )
torch.use_deterministic_algorithms(False)
print('--- hardswish')
x = torch.linspace(-3, 3, 7, dtype=torch.float64)
print((torch.nn.functional.hardswish(x.cuda()).cpu() - torch.nn.functional.hardswish(x)).abs().max())
print('--- eigh after capture')
import adjoint as ad
from adjoint.execute.cudagraph import CudaGraph
from adjoint.execute.plan import Plan

s = torch.randn(3, 3, dtype=torch.float64).cuda()
s = s + s.T
x = ad.Variable('x')
for name, f in (
    ('eigh', lambda x: torch.linalg.eigvalsh(x)),
    ('svd', lambda x: torch.linalg.svdvals(x)),
    ('inv', lambda x: torch.linalg.inv(x)),
    ('solve', lambda x: torch.linalg.solve(x, x)),
    ('chol', lambda x: torch.linalg.cholesky(x @ x.T + x.T @ x)),
    ('det', lambda x: torch.linalg.det(x)),
    ('qr', lambda x: torch.linalg.qr(x)[1]),
    ('masked', lambda x: torch.masked_select(x, x > 0)),
    ('sort', lambda x: torch.sort(x)[0]),
    ('conv', lambda x: torch.nn.functional.conv2d(x[None, None], x[None, None])),
):
    try:
        e = ad.Evaluator([f(x)], executor=CudaGraph(Plan(at_first_sight=True)))
        for _ in range(3):
            r = e.run({x: s})
        print(name, 'ok', e.state({x: s}), torch.allclose(r[0], f(s)))
    except Exception as error:
        print(name, 'FAILS', type(error).__name__, str(error).splitlines()[0][:200], e.state({x: s}))
    try:
        torch.cuda.synchronize()
        torch.linalg.eigvalsh(s)
        torch.linalg.inv(s)
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
for v in ev:
    if v.name() == '[memory]':
        if 'CUDA' in str(v.device_type()):
            live += v.nbytes()
            print(f'{v.nbytes():>10} live {live:>10}  {last}')
    elif v.name().startswith('aten::'):
        last = v.name() + str(v.shapes())
print(e.program(dict(zip(vs, given))))
