#!/usr/bin/env python3
"""vkstat.py: compile Vulkan compute shaders with Mesa's drivers for GPUs that are not here and
compare them by static figures.

It compiles GLSL with glslc (or takes SPIR-V), runs the vkstat program under Mesa's no-op drm shims
inside a root directory that has Mesa (a chroot), and reads the final ISA: the loop with the most
matrix work, its instruction mix, and the non-matrix issue cycles per matrix FLOP.

  vkstat.py --root /path/to/chroot --gpu navi31,gfx1201 -I dir -D X=1 --spec 0=128 shader.comp
  vkstat.py --root /path/to/chroot --jobs jobs.json --out results
  vkstat.py --isa-file dump.txt --gpu navi31 --wave 64          (analyse a saved ISA text only)

Environment: VKSTAT_ROOT (--root), VKSTAT_GLSLC (--glslc), VKSTAT_BIN (--vkstat),
VKSTAT_INCLUDE (--vulkan-include, for building vkstat from vkstat.cpp beside this file).
Nothing here runs a shader: figures are the compiler's, cycles are a stated model, not a measurement.
"""
import argparse, json, os, re, shlex, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# ------------------------------------------------------------------------------------------ GPUs
# name prefix -> gfx level (as major.minor); the shim takes the name itself in AMDGPU_GPU_ID
AMD = [("polaris", 8.0), ("vega", 9.0), ("raven", 9.0), ("renoir", 9.0), ("navi1", 10.1), ("navi2", 10.3),
       ("vangogh", 10.3), ("rembrandt", 10.3), ("raphael", 10.3), ("navi3", 11.0), ("phoenix", 11.0),
       ("strix", 11.5), ("gfx115", 11.5), ("gfx12", 12.0)]


class Gpu:
    def __init__(self, name):
        self.name = name
        self.env = {"MESA_SHADER_CACHE_DISABLE": "1"}
        if name in ("m1", "asahi"):
            self.kind, self.gfx = "agx", 0.0
            self.shim, self.icd = "libasahi_noop_drm_shim.so", "asahi_icd.json"
            self.env["AGX_MESA_DEBUG"] = "shaders"     # the driver gives no internal representation: read its dump
            return
        for prefix, gfx in AMD:
            if name.startswith(prefix):
                self.kind, self.gfx = "amd", gfx
                break
        else:
            sys.exit("unknown GPU %r (known: m1, or an AMDGPU_GPU_ID beginning with %s)" % (name, ", ".join(p for p, _ in AMD)))
        self.shim, self.icd = "libamdgpu_noop_drm_shim.so", "radeon_icd.json"
        self.env["AMDGPU_GPU_ID"] = name


# ------------------------------------------------------------------------------------------ ISA -> instructions
class Ins:
    __slots__ = ("op", "args", "cat", "cyc", "trans", "flops", "bytes", "lds", "target", "cond", "end")

    def __init__(self, op, args):
        self.op, self.args = op, args
        self.cat, self.cyc, self.trans, self.flops, self.bytes, self.lds = "other", 0.0, 0.0, 0, 0, 0.0
        self.target, self.cond, self.end = None, False, False


FMA = re.compile(r"^v_(pk_)?(fma|fmac|fmaak|fmamk|mac|mad|madak|madmk)(_mix|_mixlo|_mixhi|_legacy|_dx9_zero)?_(f16|f32|bf16)")
TRANS = re.compile(r"^v_(s_)?(exp|log|rcp|rcp_iflag|rsq|sqrt|sin|cos|tanh)_(f16|f32|bf16|iflag)")
QUARTER = re.compile(r"^v_(mul_lo_u32|mul_lo_i32|mul_hi_[iu]32|mad_(co_)?[iu]64_[iu]32|mad_nc_[iu]64)")
HALF = re.compile(r"^v_(lshl|lshr|ashr)rev_[biu]64|^v_lshlrev_b64")
# Operations that a wave64 of RDNA3+ issues in one pass (dual-issue lanes); everything else takes two.
DUAL = re.compile(r"^v_((fma|fmac|fmaak|fmamk|mul|add|sub|subrev|max|min|max_num|min_num|mul_dx9_zero|fma_dx9_zero|"
                  r"fmac_dx9_zero|mul_legacy|fma_legacy|fmac_legacy)_f(16|32)|mov_b(32|16)|movrel\w*|cndmask_b(32|16)|writelane_b32|"
                  r"(max|min)_[iu]16|(add|sub|mad)_(nc_)?[iu]16|mul_lo_u16|(not|and|or|xor)_b16|"
                  r"(lshrrev|lshlrev)_b16|ashrrev_i16|dot2(c|acc)?_\w+)(_e32|_e64)?$")
WIDTH = [("b128", 16), ("b96", 12), ("b64", 8), ("b32", 4), ("b16", 2), ("b8", 1), ("dwordx4", 16), ("dwordx3", 12),
         ("dwordx2", 8), ("dword", 4), ("short", 2), ("ubyte", 1), ("sbyte", 1), ("byte", 1), ("u16", 2), ("i16", 2), ("u8", 1), ("i8", 1),
         ("f32", 4), ("u32", 4), ("f16", 2)]


def width(op):
    for k, b in WIDTH:
        if k in op:
            return b * (2 if re.search(r"_2addr_|(read|write)2", op) else 1)
    return 4


def half_flops(op, wave):
    """FLOPs per wave of one VALU operation that does multiply-accumulate; 0 for others."""
    if op.startswith(("v_dot2", "v_dual_dot2")):
        return 4 * wave
    if re.match(r"^v_dot[48]", op):
        return (8 if "dot4" in op else 16) * wave
    m = FMA.match(op.replace("v_dual_", "v_"))
    return (4 if m.group(1) else 2) * wave if m else 0


def classify_amd(i, gfx, wave, wmma_cycles):
    op, a = i.op, i.args
    rdna = gfx >= 10
    dpp = "_dpp" in op or "row_" in a or "quad_perm" in a or "dpp8" in a
    passes = 1
    if rdna and wave == 64:
        passes = 2
        if gfx >= 11 and not dpp:
            if DUAL.match(op):
                passes = 1
            elif op.startswith("v_fma_mix"):
                m = re.search(r"op_sel_hi:\[\d,\d,(\d)\]", a)
                acc16 = m.group(1) == "1" if m else False
                if acc16 != (op.startswith("v_fma_mix_f32")):
                    src = [s.strip().strip("-|") for s in a.split(" op_sel")[0].split(",")[1:4]]
                    src = [re.sub(r"^(neg|abs)?\(?|\)$", "", s) for s in src]
                    if any(not s.startswith("v") for s in src) or len(set(src)) < 3:
                        passes = 1
    unit = passes if rdna else 4
    if op.startswith(("v_wmma", "v_swmmac", "v_mfma", "v_smfmac")):
        i.cat = "matrix"
        m = re.search(r"_(\d+)x(\d+)x(\d+)", op)
        i.flops = 2 * int(m.group(1)) * int(m.group(2)) * int(m.group(3)) if m else 0
        i.cyc = wmma_cycles * i.flops / 8192.0
        if "iu4" in op:
            i.cyc /= 2
    elif op.startswith("v_dual_"):
        i.cyc = unit
        other = re.search(r"::\s*(v_dual_\w+)", a)
        i.flops = half_flops(op, wave) + (half_flops(other.group(1), wave) if other else 0)
        i.cat = "fma" if i.flops else "valu"
    elif op.startswith("v_"):
        i.flops = half_flops(op, wave)
        if i.flops:
            i.cat, i.cyc = "fma", unit
        elif TRANS.match(op):
            i.cat, i.cyc = "trans", unit if rdna else 16
            i.trans = 4 * unit if rdna else 16
            if op.startswith("v_s_"):
                i.cyc, i.trans = 1, 1
        else:
            i.cat = "valu"
            i.cyc = unit * (4 if QUARTER.match(op) else 2 if HALF.match(op) else 1)
    elif op.startswith("ds_"):
        i.cat = "lds"
        i.bytes = width(op) * wave
        i.lds = max(wave / 32.0, i.bytes / 128.0)      # 32 banks of 4 bytes a clock, no conflicts
    elif op.startswith(("buffer_", "global_", "flat_", "image_", "tbuffer_", "scratch_")):
        i.cat = "vmem"
        i.bytes = width(op) * wave if re.search(r"load|store|atomic", op) else 0
    elif re.match(r"^s_(load|buffer_load|store|buffer_store|scratch|atomic|dcache|prefetch)", op):
        i.cat = "smem"
    elif re.match(r"^s_wait", op):
        i.cat = "wait"
    elif op.startswith("s_barrier"):
        i.cat = "barrier" if not op.endswith("_signal") else "hint"
    elif op in ("s_delay_alu", "s_nop", "s_clause", "s_sleep", "s_setprio", "s_inst_prefetch", "s_set_inst_prefetch_distance", "s_code_end",
                "s_sendmsg", "s_ttracedata", "s_waitcnt_depctr", "s_icache_inv", "s_round_mode", "s_denorm_mode"):
        i.cat = "hint"
    elif op.startswith(("s_branch", "s_cbranch", "s_endpgm", "s_setpc", "s_call")):
        i.cat = "branch"
    elif op.startswith("s_"):
        i.cat = "salu"


def parse_amd(text, gfx, wave, wmma_cycles):
    ins, labels = [], {}
    for line in text.splitlines():
        m = re.match(r"^(BB\d+|[A-Za-z_]\w*):\s*$", line)
        if m:
            labels[m.group(1)] = len(ins)
            continue
        m = re.search(r"then repeated (\d+) times", line)     # the disassembler folds equal instructions
        if m:
            if ins and ins[-1].target is None:
                ins.extend([ins[-1]] * int(m.group(1)))
            if line.strip().startswith("("):
                continue
        body = line.split(" ; ")[0].split("\t;")[0].strip()
        m = re.match(r"^([a-z]\w+)\s*(.*)$", body)
        if not m or not line[:1].isspace():
            continue
        i = Ins(m.group(1), m.group(2).strip())
        classify_amd(i, gfx, wave, wmma_cycles)
        if i.op == "s_branch" or i.op.startswith("s_cbranch"):
            i.target, i.cond = i.args.split()[0], i.op != "s_branch"
        i.end = i.op.startswith(("s_endpgm", "s_setpc"))
        ins.append(i)
    for i in ins:
        if i.target is not None:
            i.target = labels.get(i.target)
    return ins


AGX_TRANS = ("exp2", "log2", "rcp", "rsqrt", "srsqrt", "sin_pt_1", "sin_pt_2")


def agx_bytes(args):
    m = re.search(r"\b[iuf](8|16|32)\w*, ([xyzw]+)\b", args)
    return 32 * int(m.group(1)) // 8 * len(m.group(2)) if m else 0


def parse_agx(text):
    """The main program of an AGX_MESA_DEBUG=shaders dump (the dump also has the preamble)."""
    programs, cur = [], None
    for line in text.splitlines():
        m = re.match(r"^\s*([0-9a-f]+):\s+([0-9a-f]+)\s+(\w+)\s*(.*)$", line)
        if not m:
            continue
        addr = int(m.group(1), 16)
        if addr == 0:
            cur = []
            programs.append(cur)
        if cur is not None:
            cur.append((addr, m.group(3), m.group(4)))
    if not programs:
        return []
    raw = max(programs, key=len)
    ins, at = [], {}
    for addr, op, args in raw:
        i = Ins(op, args)
        at[addr] = len(ins)
        if op in ("ffma", "hfma"):
            i.cat, i.flops, i.cyc = "fma", 64, 1
        elif op in AGX_TRANS:
            i.cat, i.cyc, i.trans = "trans", 1, 4
        elif op in ("lload", "lstore", "latomic", "shuffle", "shuffle_xor", "shuffle_up", "shuffle_down"):
            i.cat = "lds" if op[0] == "l" else "valu"
            i.cyc = 0 if op[0] == "l" else 1
            i.bytes = agx_bytes(args) if op[0] == "l" else 0
        elif re.match(r"^(load|store|atomic|uniform_store|stack_\w+|device_\w+|texture\w*|image\w*)$", op):
            i.cat, i.bytes = "vmem", agx_bytes(args)
        elif op == "wait":
            i.cat = "wait"
        elif op in ("barrier", "threadgroup_barrier", "memory_barrier"):
            i.cat = "barrier"
        elif re.match(r"^(if|else|while|pop_exec|push_exec|jmp\w*|stop|trap|nop|begin\w*|end\w*|break\w*)", op):
            i.cat = "branch"
        else:
            i.cat, i.cyc = "valu", 1
        if op.startswith("jmp"):
            i.target, i.cond = addr + int(args.split()[-1]), True
        i.end = op == "stop"
        ins.append(i)
    for i in ins:
        if i.target is not None:
            i.target = at.get(i.target)
    return ins


# ------------------------------------------------------------------------------------------ loops
class Loop:
    def __init__(self, head, last):
        self.head, self.last = head, last        # instruction indices, inclusive
        self.parent, self.children, self.depth, self.trips = None, [], 0, 1

    def own(self):
        inner = set()
        for c in self.children:
            inner.update(range(c.head, c.last + 1))
        return [k for k in range(self.head, self.last + 1) if k not in inner]


def find_loops(ins):
    """Back edges by layout (compilers lay a loop out contiguously); same head: one loop."""
    ends = {}
    for k, i in enumerate(ins):
        if i.target is not None and i.target <= k:
            ends[i.target] = max(k, ends.get(i.target, 0))
    loops = [Loop(h, e) for h, e in sorted(ends.items())]
    for a in loops:
        for b in loops:
            if b is not a and b.head <= a.head and a.last <= b.last:
                if a.parent is None or (b.head >= a.parent.head and b.last <= a.parent.last):
                    a.parent = b
    for a in loops:
        if a.parent:
            a.parent.children.append(a)
    for a in loops:
        p = a.parent
        while p:
            a.depth += 1
            p = p.parent
    return loops


def dominators(n, pred, roots):
    """For each of n nodes the set of nodes on every path from a root to it; None: not reached."""
    dom = [None] * n
    for r in roots:
        dom[r] = {r}
    changed = True
    while changed:
        changed = False
        for b in range(n):
            if b in roots:
                continue
            ps = [dom[p] for p in pred[b] if dom[p] is not None]
            if ps:
                d = set.intersection(*ps) | {b}
                if d != dom[b]:
                    dom[b], changed = d, True
    return dom


def always(ins, lp):
    """Indices of the loop's instructions that run in every iteration that does the loop's main work: their block
    dominates or post-dominates the block with the most multiply-accumulates (so paths that skip the iteration,
    and code under a condition, are left out)."""
    lo, hi = lp.head, lp.last
    lead = {lo}
    for k in range(lo, hi + 1):
        i = ins[k]
        if i.target is not None:
            if lo <= i.target <= hi:
                lead.add(i.target)
            if k < hi:
                lead.add(k + 1)
    starts = sorted(lead)
    n = len(starts)
    stops = [starts[b + 1] - 1 for b in range(n - 1)] + [hi]
    index = {s: b for b, s in enumerate(starts)}
    pred, succ, latch = [[] for _ in range(n)], [[] for _ in range(n)], set()
    for b in range(n):
        i = ins[stops[b]]
        if i.target is not None:
            if i.target == lo:
                latch.add(b)
            elif lo <= i.target <= hi:
                succ[b].append(index[i.target])
            if i.cond and b + 1 < n:
                succ[b].append(b + 1)
        elif not i.end and b + 1 < n:
            succ[b].append(b + 1)
        for s in succ[b]:
            pred[s].append(b)
    inner = set()
    for c in lp.children:
        inner.update(range(c.head, c.last + 1))

    def work(b):
        r = [ins[k] for k in range(starts[b], stops[b] + 1) if k not in inner]
        return (sum(i.flops for i in r if i.cat == "matrix"), sum(i.flops for i in r), len(r))

    main = max(range(n), key=work)
    keep = dominators(n, pred, {0})[main] or {main}
    keep = keep | (dominators(n, succ, latch)[main] or {main})
    return {k for b in keep for k in range(starts[b], stops[b] + 1)}


CATS = ["matrix", "fma", "valu", "trans", "lds", "vmem", "smem", "salu", "branch", "wait", "barrier", "hint", "other"]


def weigh(ins, idx_weights):
    r = {c: 0.0 for c in CATS}
    r.update(n=0.0, flops_wmma=0.0, flops_fma=0.0, cyc_matrix=0.0, cyc_fma=0.0, cyc_valu=0.0, cyc_trans=0.0, lds_bytes=0.0, vmem_bytes=0.0, cyc_lds=0.0)
    for k, w in idx_weights:
        i = ins[k]
        r["n"] += w
        r[i.cat] += w
        if i.cat == "matrix":
            r["flops_wmma"] += w * i.flops
            r["cyc_matrix"] += w * i.cyc
        elif i.cat == "fma":
            r["flops_fma"] += w * i.flops
            r["cyc_fma"] += w * i.cyc
        elif i.cat in ("valu", "trans"):
            r["cyc_valu"] += w * i.cyc
        r["cyc_trans"] += w * i.trans
        if i.cat == "lds":
            r["lds_bytes"] += w * i.bytes
            r["cyc_lds"] += w * i.lds
        if i.cat == "vmem":
            r["vmem_bytes"] += w * i.bytes
    return r


def loop_weights(ins, lp, only_always):
    """(index, weight) of one iteration of lp, inner loops taken lp.trips times."""
    keep = always(ins, lp) if only_always else None
    out = [(k, 1.0) for k in lp.own() if keep is None or k in keep]
    for c in lp.children:
        if keep is not None and c.head not in keep:
            continue
        out += [(k, w * c.trips) for k, w in loop_weights(ins, c, only_always)]
    return out


def analyse(ins, trips=None, which="hot"):
    """which: 'hot' = the loop whose own body has the most matrix work; 'outer' = the outermost loop around it;
    a number = that loop in layout order. trips: iteration counts of the loops in layout order."""
    loops = find_loops(ins)
    if not loops:
        return None
    for lp, t in zip(loops, trips or []):
        lp.trips = float(t)
    has_wmma = any(i.cat == "matrix" for i in ins)

    def score(lp):
        own = weigh(ins, [(k, 1.0) for k in lp.own()])
        return (own["flops_wmma"] if has_wmma else own["flops_fma"], lp.depth, len(lp.own()))

    hot = max(loops, key=score)
    sel = hot
    if which == "outer":
        while sel.parent:
            sel = sel.parent
    elif which != "hot":
        sel = loops[int(which)]
    full = weigh(ins, loop_weights(ins, sel, False))
    must = weigh(ins, loop_weights(ins, sel, True))
    tree = [{"n": k, "depth": lp.depth, "head": lp.head, "last": lp.last, "own": {c: int(v) for c, v in weigh(ins, [(x, 1.0) for x in lp.own()]).items() if v and c in CATS},
             "trips": lp.trips, "hot": lp is hot, "selected": lp is sel} for k, lp in enumerate(loops)]
    return {"loops": tree, "wmma": has_wmma, "selected": loops.index(sel), "all": full, "always": must}


def metrics(loop, waves, tile_flops, path):
    """Per-wave figures of one iteration. The matrix FLOPs are those of v_wmma if there is any, else of all
    multiply-accumulates; with tile_flops (useful FLOPs of one iteration of the whole workgroup) that is the divisor."""
    r = loop[path]
    counted = r["flops_wmma"] if loop["wmma"] else r["flops_fma"]
    useful = tile_flops / waves if tile_flops else counted
    mat = r["cyc_matrix"] if loop["wmma"] else r["cyc_fma"]
    non = r["cyc_valu"] + (r["cyc_fma"] if loop["wmma"] else 0.0)
    k = 1000.0 / useful if useful else float("nan")
    return {"flops_counted": counted, "flops_useful": useful, "matrix_cycles": mat, "nonmatrix_cycles": non,
            "nonmatrix_per_kflop": non * k, "matrix_per_kflop": mat * k, "valu_per_kflop": (mat + non) * k,
            "trans_per_kflop": r["cyc_trans"] * k, "salu_per_kflop": (r["salu"] + r["smem"] + r["branch"]) * k,
            # one LDS serves the two SIMDs of a compute unit: per SIMD, its time counts double
            "lds_cycles_per_kflop": 2 * r["cyc_lds"] * k, "lds_bytes_per_kflop": r["lds_bytes"] * k, "vmem_bytes_per_kflop": r["vmem_bytes"] * k,
            "matrix_share": mat / (mat + non) if mat + non else 0.0}


# ------------------------------------------------------------------------------------------ compile and run
class Runner:
    def __init__(self, o):
        self.o = o
        self.root = os.path.abspath(o.root) if o.root else ""
        self.local = tempfile.mkdtemp(prefix="vkstat.", dir=os.path.join(self.root, "tmp") if self.root else None)
        self.inside = self.local[len(self.root):] if self.root else self.local
        binary = o.vkstat or os.path.join(self.local, "build")
        if not o.vkstat:
            cmd = ["g++", "-O1", "-std=c++17", "-static-libstdc++", "-static-libgcc"]
            if o.vulkan_include:
                cmd.append("-I" + o.vulkan_include)
            if subprocess.run(cmd + [os.path.join(HERE, "vkstat.cpp"), "-o", binary, "-ldl"]).returncode:
                self.close()
                sys.exit("vkstat.cpp did not build (--vulkan-include: a folder with vulkan/vulkan.h; or give a built one with --vkstat)")
        shutil.copy(binary, os.path.join(self.local, "vkstat"))
        self.lib = self._find("usr/lib", "libamdgpu_noop_drm_shim.so") or self._find("usr/lib", "libasahi_noop_drm_shim.so")
        if not self.lib:
            sys.exit("no *_noop_drm_shim.so below %s/usr/lib (Debian: mesa-drm-shim)" % self.root)
        self.count = 0

    def _find(self, base, name):
        top = os.path.join(self.root or "/", base)
        for d, _, files in os.walk(top):
            if name in files:
                return "/" + os.path.relpath(d, self.root or "/")
        return None

    def close(self):
        shutil.rmtree(self.local, ignore_errors=True)

    def compile(self, job):
        src = job["src"]
        self.count += 1
        spv = os.path.join(self.local, "m%d.spv" % self.count)
        if src.endswith(".spv"):
            shutil.copy(src, spv)
        else:
            cmd = shlex.split(self.o.glslc) + ["-fshader-stage=compute", "--target-env=" + job.get("target_env", "vulkan1.3")]
            if job.get("optimize", True):
                cmd.append("-O")
            cmd += ["-I" + d for d in job.get("include", [])]
            cmd += ["-D" + (k if v in (None, "") else "%s=%s" % (k, v)) for k, v in job.get("define", {}).items()]
            p = subprocess.run(cmd + [src, "-o", spv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if p.returncode:
                raise RuntimeError("glslc: " + p.stdout.strip())
        return spv

    def run(self, job, spv, gpu):
        isa = os.path.join(self.local, "isa.txt")
        if os.path.exists(isa):
            os.remove(isa)
        env = dict(gpu.env, LD_PRELOAD="%s/%s" % (self.lib, gpu.shim), VK_DRIVER_FILES="/usr/share/vulkan/icd.d/" + gpu.icd)
        env.update(job.get("env", {}))
        cmd = ([] if os.geteuid() == 0 else ["unshare", "--map-root-user"]) + ["chroot", self.root] if self.root else []
        cmd += ["env"] + ["%s=%s" % kv for kv in env.items()] + [self.inside + "/vkstat", "--isa", self.inside + "/isa.txt", "--entry", job.get("entry", "main")]
        for k, v in job.get("spec", {}).items():
            cmd += ["--spec", "%s=%s" % (k, v)]
        if job.get("subgroup"):
            cmd += ["--subgroup", str(job["subgroup"])]
        if job.get("full_subgroups") is not None:
            cmd += ["--full-subgroups" if job["full_subgroups"] else "--no-full-subgroups"]
        if job.get("robust"):
            cmd += ["--robust"]
        cmd += job.get("vkstat_args", []) + [self.inside + "/" + os.path.basename(spv)]
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=self.o.timeout)
        at = p.stdout.rfind('{"device"')
        if p.returncode or at < 0:
            raise RuntimeError("%s: rc %d: %s" % (gpu.name, p.returncode, (p.stderr or p.stdout).strip()[-600:]))
        d = json.loads(p.stdout[at:])
        text = open(isa, errors="replace").read() if os.path.exists(isa) else p.stdout[:at]
        return d, text


def one(job, gpu, d, text, o):
    ex = d["executables"][0]
    st = ex["statistics"]
    wave = ex["subgroup"] or d["subgroup_default"]
    threads = d["local_size"][0] * d["local_size"][1] * d["local_size"][2]
    waves = max(1, -(-threads // wave))
    r = {"name": job["name"], "gpu": gpu.name, "device": d["device"], "driver": d["driver_info"], "wave": wave, "threads": threads,
         "waves": waves, "shared_bytes": d["shared_bytes"], "max_shared": d["max_shared"], "push_bytes": d["push_bytes"], "bindings": d["bindings"], "statistics": st}
    if gpu.kind == "amd":
        occ = st.get("Subgroups per SIMD", 0)
        # RADV counts in wave32 units on GFX10+: a wave64 is two.
        r["occupancy"] = occ / 2.0 if wave == 64 and gpu.gfx >= 10 else occ
        r["brief"] = {"vgpr": st.get("VGPRs"), "sgpr": st.get("SGPRs"), "spill": st.get("Spilled VGPRs", 0) + st.get("Spilled SGPRs", 0),
                      "lds": st.get("LDS size"), "scratch": st.get("Scratch size"), "code": st.get("Code size"), "lat": st.get("Latency"), "invthr": st.get("Inverse Throughput")}
        wm = o.wmma_cycles or (16.0 if gpu.gfx >= 12 else 32.0)
        ins = parse_amd(text, gpu.gfx, wave, wm)
    else:
        r["occupancy"] = st.get("Threads", 0)
        r["brief"] = {"vgpr": st.get("GPRs"), "sgpr": st.get("Uniforms"), "spill": st.get("Spills", 0) + st.get("Fills", 0), "lds": d["shared_bytes"],
                      "scratch": st.get("Scratch"), "code": st.get("Code size"), "lat": None, "invthr": st.get("ALU")}
        ins = parse_agx(text)
    r["instructions"] = len(ins)
    told = st.get("Instructions")
    if told and abs(len(ins) - told) > max(20, 0.02 * told):    # a few nops of padding are normal
        print("WARNING %s %s: the driver counts %d instructions, the ISA text has %d: the loop figures may be wrong" % (job["name"], gpu.name, told, len(ins)), file=sys.stderr)
    trips = job.get("trips")
    if isinstance(trips, dict):
        trips = trips.get(gpu.name, trips.get(gpu.kind))
    r["loop"] = analyse(ins, trips, str(job.get("loop", o.loop)))
    if r["loop"]:
        tf = job.get("tile_flops")
        r["metrics"] = {p: metrics(r["loop"], waves, tf, p) for p in ("all", "always")}
    return r


def fmt(v):
    if v is None:
        return "-"
    if isinstance(v, float):
        return "%d" % v if v == int(v) and abs(v) < 1e7 else "%.3g" % v if abs(v) < 10 else "%.0f" % v
    return str(v)


def table(rows, heads):
    rows = [r + ["-"] * (len(heads) - len(r)) for r in rows]
    w = [max(len(h), *(len(r[k]) for r in rows)) if rows else len(h) for k, h in enumerate(heads)]
    line = lambda r: "| " + " | ".join(c.ljust(w[k]) if k < 2 else c.rjust(w[k]) for k, c in enumerate(r)) + " |"
    return "\n".join([line(heads), "|" + "|".join("-" * (x + 2) for x in w) + "|"] + [line(r) for r in rows])


def report(results, path):
    a, b = [], []
    for r in results:
        s = r["brief"]
        a.append([r["name"], r["gpu"], fmt(r["wave"]), fmt(r["waves"]), fmt(s["vgpr"]), fmt(s["sgpr"]), fmt(s["spill"]), fmt(s["scratch"]), fmt(s["lds"]) + ("!" if max(r["shared_bytes"], s["lds"] or 0) > r["max_shared"] else ""),
                  fmt(float(r["occupancy"])), fmt(s["code"]), fmt(s["lat"]), fmt(s["invthr"])])
        if not r["loop"]:
            b.append([r["name"], r["gpu"]])          # no loop
            continue
        l, m = r["loop"][path], r["metrics"][path]
        b.append([r["name"], r["gpu"]] + [fmt(l[k]) for k in ("n", "matrix", "fma", "valu", "trans", "lds", "vmem", "smem", "salu", "wait", "barrier")] +
                 [fmt(m["flops_counted"]), fmt(m["flops_useful"]), fmt(m["matrix_cycles"]), fmt(m["nonmatrix_cycles"]), "%.2f" % m["nonmatrix_per_kflop"],
                  "%.2f" % m["valu_per_kflop"], "%.0f%%" % (100 * m["matrix_share"]), "%.2f" % m["lds_cycles_per_kflop"], fmt(l["lds_bytes"]), fmt(l["vmem_bytes"])])
    return ("whole shader (lds!: more shared memory than the device has; the pipeline would be invalid)\n" + table(a, ["kernel", "gpu", "wave", "waves", "vgpr", "sgpr", "spill", "scratch", "lds", "occ", "code", "latency", "invthr"]) +
            "\n\none iteration of the loop, per wave (%s)\n" % ("every instruction in it" if path == "all" else "only what every working iteration runs") +
            table(b, ["kernel", "gpu", "instr", "wmma", "fma", "valu", "trans", "ds", "vmem", "smem", "salu", "wait", "barr", "matFLOP", "useFLOP", "mat cyc", "nonm cyc",
                      "nonm/kF", "VALU/kF", "mat%", "lds/kF", "ldsB", "vmemB"]))


def print_loops(r):
    print("loops of %s on %s:" % (r["name"], r["gpu"]))
    for lp in (r["loop"] or {"loops": []})["loops"]:
        print("  %s%d: instructions %d..%d trips %g%s%s own %s" % ("  " * lp["depth"], lp["n"], lp["head"], lp["last"], lp["trips"], " HOT" if lp["hot"] else "",
                                                             " SELECTED" if lp["selected"] else "", " ".join("%s=%d" % kv for kv in lp["own"].items())))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("src", nargs="?", help="GLSL compute shader or .spv")
    p.add_argument("--root", default=os.environ.get("VKSTAT_ROOT", ""), help="root directory with Mesa and its drm shims (chroot needs root); empty: this system")
    p.add_argument("--glslc", default=os.environ.get("VKSTAT_GLSLC", "glslc"))
    p.add_argument("--vkstat", default=os.environ.get("VKSTAT_BIN", ""), help="built vkstat; default: build it")
    p.add_argument("--vulkan-include", default=os.environ.get("VKSTAT_INCLUDE", ""))
    p.add_argument("--gpu", default="navi31")
    p.add_argument("--jobs", help="JSON file: {\"defaults\": {...}, \"jobs\": [{name, src, include, define, spec, subgroup, gpus, ...}]}")
    p.add_argument("-I", dest="include", action="append", default=[])
    p.add_argument("-D", dest="define", action="append", default=[])
    p.add_argument("--spec", action="append", default=[], help="ID=VALUE[:TYPE]")
    p.add_argument("--target-env", default="vulkan1.3")
    p.add_argument("--O0", dest="optimize", action="store_false", help="glslc without -O")
    p.add_argument("--entry", default="main")
    p.add_argument("--subgroup", type=int)
    p.add_argument("--robust", action="store_true")
    p.add_argument("--tile-flops", type=float, help="useful FLOPs of one loop iteration of the whole workgroup (e.g. 4*Br*Bc*D)")
    p.add_argument("--loop", default="hot", help="hot | outer | number")
    p.add_argument("--trips", help="comma list: iteration counts of the loops in layout order")
    p.add_argument("--always", action="store_true", help="count only what every working iteration runs (leave out conditional blocks)")
    p.add_argument("--wmma-cycles", type=float, help="issue cycles of one 8192-FLOP WMMA (default 32, GFX12 16)")
    p.add_argument("--out", help="directory for results.json and the ISA texts")
    p.add_argument("--format", default="table", choices=["table", "json"])
    p.add_argument("--show-loops", action="store_true")
    p.add_argument("--timeout", type=int, default=600)
    p.add_argument("--isa-file", help="analyse this ISA text only (needs --gpu and --wave)")
    p.add_argument("--wave", type=int, default=64)
    o = p.parse_args()
    path = "always" if o.always else "all"
    trips = [float(x) for x in o.trips.split(",")] if o.trips else None

    if o.isa_file:
        gpu = Gpu(o.gpu.split(",")[0])
        text = open(o.isa_file, errors="replace").read()
        ins = parse_agx(text) if gpu.kind == "agx" else parse_amd(text, gpu.gfx, o.wave, o.wmma_cycles or (16.0 if gpu.gfx >= 12 else 32.0))
        lp = analyse(ins, trips, o.loop)
        print(json.dumps({"instructions": len(ins), "loop": lp, "metrics": metrics(lp, 1, o.tile_flops, path) if lp else None}, indent=1))
        return 0

    if o.jobs:
        spec = json.load(open(o.jobs))
        base = os.path.dirname(os.path.abspath(o.jobs))
        jobs = []
        for j in spec["jobs"]:
            m = dict(spec.get("defaults", {}))
            for k, v in j.items():
                m[k] = dict(m[k], **v) if k in ("define", "spec", "env") and k in m else v
            expand = lambda s: os.path.join(base, os.path.expandvars(s))
            m["src"] = expand(m["src"])
            m["include"] = [expand(d) for d in m.get("include", [])]
            jobs.append(m)
    elif o.src:
        jobs = [{"name": os.path.basename(o.src), "src": o.src, "include": o.include, "define": dict((d.split("=", 1) + [""])[:2] for d in o.define),
                 "spec": dict(s.split("=", 1) for s in o.spec), "target_env": o.target_env, "optimize": o.optimize, "entry": o.entry, "subgroup": o.subgroup,
                 "robust": o.robust, "tile_flops": o.tile_flops, "trips": trips}]
    else:
        p.error("a shader or --jobs is needed")

    run = Runner(o)
    results, failed = [], 0
    try:
        for job in jobs:
            try:
                spv = run.compile(job)
            except RuntimeError as e:
                print("FAILED %s: %s" % (job["name"], e), file=sys.stderr)
                failed += 1
                continue
            for name in job.get("gpus") or o.gpu.split(","):
                gpu = Gpu(name)
                try:
                    d, text = run.run(job, spv, gpu)
                except (RuntimeError, subprocess.TimeoutExpired) as e:
                    print("FAILED %s: %s" % (job["name"], e), file=sys.stderr)
                    failed += 1
                    continue
                r = one(job, gpu, d, text, o)
                results.append(r)
                if o.out:
                    os.makedirs(o.out, exist_ok=True)
                    with open(os.path.join(o.out, re.sub(r"[^\w.+-]", "_", job["name"]) + "." + name + ".isa"), "w") as f:
                        f.write(text)
    finally:
        run.close()
    if o.out:
        with open(os.path.join(o.out, "results.json"), "w") as f:
            json.dump(results, f, indent=1)
    if o.format == "json":
        print(json.dumps(results, indent=1))
    else:
        if o.show_loops:
            for r in results:
                print_loops(r)
            print()
        if results:
            print(report(results, path))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
