"""The labels themselves: key to (English, Chinese). `{name}` is filled in by the template."""

# fmt: off
PHRASES: dict[str, tuple[str, str]] = {
    "language.tag": ("en", "zh-CN"),

    "nav.skip": ("Skip to content", "跳到正文"),
    "nav.problems": ("Problems", "题目"),
    "nav.submissions": ("Submissions", "提交记录"),
    "nav.mine": ("My submissions", "我的提交"),
    "nav.login": ("Log in", "登录"),
    "nav.logout": ("Log out", "退出"),
    "nav.register": ("Register", "注册"),

    "problems.board": ("Board", "榜单"),
    "problems.solvers": ("Solvers", "通过人数"),
    "problems.best": ("Best speed-up", "最高加速比"),
    "problems.none": ("No problems are on offer yet.", "还没有题目。"),

    "problem.problem": ("Problem", "题目"),
    "problem.keywords": ("Keywords", "关键词"),
    "problem.statement": ("Statement", "题面"),
    "problem.submit": ("Submit", "提交"),
    "problem.board": ("Board: {device}", "榜单：{device}"),
    "problem.signature": ("Signature", "函数签名"),
    "problem.compile_command": ("How C++ is compiled", "C++ 编译命令"),
    "problem.starters": ("Starter files", "起始代码"),
    "problem.download": ("Download {file}", "下载 {file}"),
    "problem.judge_code": ("The judge's code", "评测代码"),
    "problem.reference": (
        "Reference: what is correct", "参考实现：定义正确结果"),
    "problem.baseline": (
        "Baseline: what speed-up is measured against", "基线实现：加速比的比较对象"),
    "problem.package": ("Problem package (zip)", "题目包 (zip)"),
    "problem.workloads": ("Workloads", "测试数据"),
    "problem.use": ("Use", "用途"),
    "problem.hidden": (
        "{count} more are hidden and used in ranked mode only.",
        "另有 {count} 组隐藏数据，只用于排名模式。"),
    "problem.limits": ("Limits", "限制"),
    "problem.tolerance": ("Tolerance", "误差容限"),
    "problem.certificate": (
        "Checked against {tried} wrong outputs made on purpose: all are refused.",
        "已用 {tried} 个故意做错的输出检验过误差容限：全部被判错。"),
    "problem.gap": (
        "The nearest is {gap} times as far off as the worst honest one.",
        "其中最接近的一个，误差也是最差的诚实实现的 {gap} 倍。"),
    "problem.uncertified": (
        "Its tolerance was not checked against wrong outputs made on purpose.",
        "误差容限尚未用故意做错的输出检验。"),
    "problem.hash": ("Package", "题目包哈希"),

    "code.copy": ("Copy", "复制"),
    "code.copied": ("Copied", "已复制"),

    "language.python": ("Python", "Python"),
    "language.cpp": ("C++", "C++"),

    "limits.time_limit_s": ("One call (s)", "单次调用 (s)"),
    "limits.prepare_limit_s": ("Loading, prepare (s)", "加载与 prepare (s)"),
    "limits.memory_mib": ("Memory (MiB)", "内存 (MiB)"),
    "limits.build_limit_s": ("Compiling (s)", "编译 (s)"),
    "limits.source_kib": ("Source files (KiB)", "源文件 (KiB)"),

    "tolerance.kind": ("Kind", "类型"),
    "tolerance.element": ("Element: times rounding", "逐元素：舍入误差倍数"),
    "tolerance.max_ratio": ("Largest error / reference's", "最大误差 / 参考实现"),
    "tolerance.mean_ratio": ("Mean error / reference's", "平均误差 / 参考实现"),
    "tolerance.rms_ratio": ("RMS error / reference's", "均方根误差 / 参考实现"),
    "tolerance.rtol": ("Relative", "相对误差"),
    "tolerance.atol": ("Absolute", "绝对误差"),
    "tolerance.share": ("Share of elements spared", "允许超差的元素比例"),
    "tolerance.limit": ("Never more than", "误差上限"),
    "tolerance.per": ("One in", "每……个之一"),
    "tolerance.threshold": (
        "Mean relative error; ten times that for any", "平均相对误差；最大为其十倍"),
    "tolerance.ulps": ("Units in the last place", "末位单位 (ULP)"),
    "tolerance.mean": ("Units in the last place, mean", "平均 ULP 误差"),
    "tolerance.steps": ("Steps", "量化步数"),
    "tolerance.alpha": ("Chance of refusing a fair draw", "误拒概率"),
    "tolerance.of": ("Factorisation", "分解类型"),
    "tolerance.roles": ("Tensors", "张量"),
    "tolerance.residual": ("Residual / (n u norm)", "残差 / (n u 范数)"),
    "tolerance.orthogonality": ("Orthogonality / (n u)", "正交性 / (n u)"),

    "mode.test": ("test", "测试"),
    "mode.benchmark": ("benchmark", "性能测试"),
    "mode.ranked": ("ranked", "排名"),
    "mode_hint.test": ("sample workloads only, fast", "只跑样例数据，速度快"),
    "mode_hint.benchmark": (
        "all visible workloads with times, not ranked", "跑全部公开数据并计时，不计入排名"),
    "mode_hint.ranked": (
        "everything, hidden workloads included; counts on the board",
        "跑全部数据（包括隐藏数据），计入榜单"),

    "status.queued": ("queued", "排队中"),
    "status.building": ("building", "编译中"),
    "status.checking": ("checking", "检查中"),
    "status.timing": ("timing", "计时中"),
    "status.judged": ("judged", "已评测"),
    "status.cancelled": ("cancelled", "已取消"),

    "verdict.AC": ("accepted", "通过"),
    "verdict.WA": ("wrong answer", "答案错误"),
    "verdict.TLE": ("time limit exceeded", "超出时间限制"),
    "verdict.MLE": ("memory limit exceeded", "超出内存限制"),
    "verdict.RTE": ("run-time error", "运行时错误"),
    "verdict.CE": ("compile error", "编译错误"),
    "verdict.OLE": ("output limit exceeded", "超出输出限制"),
    "verdict.SV": ("security violation", "违反安全规则"),
    "verdict.JE": (
        "judging error: our fault, never charged to you",
        "评测系统出错：责任在我们，不计入您的提交次数"),

    "submit.file": ("File", "文件"),
    "submit.file_hint": (
        "One .py or .cpp file, or a zip of several; at most {kib} KiB of source.",
        "一个 .py 或 .cpp 文件，或包含多个文件的 zip；源代码总计不超过 {kib} KiB。"),
    "submit.auto": ("by the file", "根据文件判断"),
    "submit.refused": ("Not accepted:", "提交未被接受："),
    "submit.again": ("Choose the file again and send it.", "请重新选择文件后再提交。"),

    "submission.title": ("Submission {id}", "提交 {id}"),
    "submission.device": ("Device", "设备"),
    "submission.mode": ("Mode", "模式"),
    "submission.language": ("Language", "语言"),
    "submission.file": ("File", "文件"),
    "submission.submitted": ("Submitted", "提交时间"),
    "submission.judged": ("judged", "评测于"),
    "submission.verdict": ("Verdict", "结果"),
    "submission.score_note": (
        "times the baseline's speed; 95 % interval", "倍于基线的速度；95% 置信区间"),
    "submission.next": ("next in the queue", "下一个就是"),
    "submission.ahead": ("{count} ahead in the queue", "前面还有 {count} 个"),
    "submission.since": ("since", "自"),
    "submission.attempt": ("attempt {count}", "第 {count} 次评测"),
    "submission.roofline": ("{share} of the roofline", "达到屋顶线的 {share}"),
    "submission.quarantine": (
        "Not ranked until an organizer has looked: {names} took less time than this device needs "
        "to move the data.",
        "暂不计入排名，等待组织者检查：{names} 的耗时低于此设备搬运数据所需的时间。"),
    "submission.beyond": (
        "Not ranked until an organizer has looked: the program did more than its clock has seen.",
        "暂不计入排名，等待组织者检查：程序所做的工作超出其计时范围。"),
    "submission.drift": (
        "{name}: the baseline took {took}; it usually takes {low} to {high} on this worker.",
        "{name}：基线耗时 {took}，在此评测机上通常为 {low} 至 {high}。"),
    "submission.commitment": (
        "SHA-256 of the seed of all inputs, fixed before judging:",
        "全部输入的随机种子在评测前已确定，其 SHA-256："),
    "submission.record": ("Signed record", "带签名的评测记录"),
    "submission.cancel": ("Cancel", "取消提交"),
    "submission.log": ("Build log", "编译日志"),
    "submission.stdout": ("What the program printed", "程序输出"),
    "submission.environment": ("Environment, seed and hashes", "环境、随机种子与哈希"),
    "submission.source": ("Source", "源代码"),
    "submission.private": (
        "Source, logs and error details are shown to the author only.",
        "源代码、日志和错误详情只有作者可见。"),

    "run.workload": ("Workload", "数据"),
    "run.shape": ("Shape", "形状"),
    "run.sample": ("sample", "样例"),
    "run.timed": ("timed", "计时"),
    "run.cold": ("cold cache", "冷缓存"),
    "run.hidden": ("hidden", "隐藏"),
    "run.roofline": ("Roofline", "屋顶线占比"),
    "run.latency": ("Latency", "耗时"),
    "run.baseline": ("Baseline", "基线"),
    "run.speedup": ("Speed-up (95 %)", "加速比 (95%)"),

    "error.gate": ("Failed at", "未通过"),
    "error.where": ("Where", "位置"),
    "error.expected": ("Expected", "期望值"),
    "error.got": ("Got", "实际值"),
    "error.not_finite": ("NaN or infinite", "NaN 或无穷"),
    "error.share": ("Elements beyond tolerance", "超出容限的元素"),
    "error.max": ("Worst error / allowed", "最大误差 / 允许误差"),
    "error.picture": (
        "Where it is wrong: dark is within the tolerance, yellow just beyond it, red far beyond",
        "错误分布：深色在容限之内，黄色略微超出，红色超出很多"),
    "error.tile": ("a tile is {rows} × {columns} elements", "每格为 {rows} × {columns} 个元素"),

    "gate.pattern": (
        "pattern of NaN, infinity and unwritten elements",
        "NaN、无穷与未写入元素的位置"),
    "gate.element": ("single elements", "逐元素误差"),
    "gate.ratio": ("error compared with the reference's", "与参考实现的误差之比"),
    "gate.share": ("share of elements that are off", "有误差的元素比例"),
    "gate.limit": ("largest error of any element", "误差上限"),
    "gate.mean": ("mean error", "平均误差"),
    "gate.distribution": ("distribution of the elements", "元素的分布"),
    "gate.independence": ("independence of the elements", "元素的独立性"),
    "gate.structure": (
        "structure: triangles, signs and order", "结构：三角、符号与次序"),
    "gate.residual": ("residual of the factorisation", "分解的残差"),
    "gate.orthogonality": ("orthogonality of the columns", "列的正交性"),
    "gate.check": ("the problem's own check", "题目自带的检查"),
    "gate.inputs": ("inputs, which must not change", "输入不得被修改"),
    "gate.guards": (
        "memory around the buffers, which must not change",
        "缓冲区之外的内存不得被修改"),
    "gate.late-write": ("outputs, written after the call had ended", "调用结束之后仍在写输出"),

    "environment.worker": ("Worker", "评测机"),
    "environment.sandbox": ("Sandbox", "沙箱"),
    "environment.overhead": ("Cost of an empty call", "空调用开销"),
    "environment.overhead_value": (
        "{low} subtracted; median {median} ± {std}", "扣除 {low}；中位数 {median} ± {std}"),
    "environment.times": ("Time taken", "用时"),
    "environment.times_value": (
        "{all} s in all, build {build} s, kernels {kernel} s",
        "共 {all} s，编译 {build} s，算子 {kernel} s"),
    "environment.cpu": ("CPU time", "CPU 时间"),
    "environment.cpu_value": (
        "{inside} in its calls, {outside} outside", "调用内 {inside}，调用外 {outside}"),
    "environment.counted": (
        "{instructions} instructions in {cycles} cycles",
        "{cycles} 个周期内执行 {instructions} 条指令"),
    "environment.seed": ("Seed of the inputs", "输入的随机种子"),
    "environment.artifact": ("Artifact", "构建产物哈希"),

    "list.id": ("Id", "编号"),
    "list.all": ("all", "全部"),
    "list.filter": ("Filter", "筛选"),
    "list.none": ("No submissions here.", "没有提交。"),
    "list.newest": ("Newest", "最新"),
    "list.older": ("Older", "更早"),

    "board.rank": ("Rank", "名次"),
    "board.name": ("Name", "用户名"),
    "board.bar": ("Speed-up as a bar", "加速比条形图"),
    "board.attempts": ("Attempts", "提交次数"),
    "board.baseline": ("baseline", "基线"),
    "board.updated": ("As of", "更新于"),
    "board.more": ("Further down", "后面的名次"),
    "board.top": ("Top of the board", "榜首"),
    "board.nobody": ("Nobody yet.", "还没有人上榜。"),
    "board.tie": ("shared rank: within measuring noise", "并列：差距在测量误差之内"),
    "board.pooled": (
        "the mean of {count} judgings of the same submission", "同一份提交 {count} 次评测的平均"),
    "board.attacked": (
        "This judge last attacked itself with a known cheat:",
        "评测机最近一次用已知作弊程序攻击自己："),
    "board.attacks": (
        "{succeeded} of {attacks} succeeded within a day",
        "一天之内 {attacks} 次攻击中成功 {succeeded} 次"),
    "board.caption": (
        "One entry per person, the best ranked submission. The score is the geometric mean of the "
        "speed-ups over the baseline, with its 95 % interval. “=” marks a tie: intervals that "
        "overlap, or scores less than {margin} apart, share a rank, the earlier submission first. "
        "The thin line in the bars is the baseline, which has no rank.",
        "每人一行，取最好的一次排名提交。得分是相对基线的加速比的几何平均，附 95% 置信区间。"
        "“=”表示并列：置信区间重叠，或得分相差不到 {margin}，名次相同，先提交者在前。"
        "条形图中的细线是基线，基线不参与排名。"),

    "login.password": ("Password", "密码"),
    "login.wrong": ("Wrong name or password.", "用户名或密码错误。"),
    "login.no_account": ("No account yet?", "还没有账号？"),
    "register.has_account": ("Have an account?", "已有账号？"),
    "register.bad_name": (
        "2 to 32 letters, digits, dots, dashes or underscores; a letter or digit first.",
        "2 到 32 个字母、数字、点、短横线或下划线，以字母或数字开头。"),
    "register.bad_password": (
        "At least 8 characters, at most 256.", "至少 8 个字符，最多 256 个。"),
    "register.closed": (
        "Accounts are made by the organizers here; ask them for one.",
        "此处的账号由组织者创建，请向他们索取。"),

    "http.400": ("Bad request", "请求有误"),
    "http.403": ("Not allowed", "没有权限"),
    "http.404": ("Not found", "找不到页面"),
    "http.405": ("Not possible here", "不支持的操作"),
    "http.409": ("Too late", "状态已改变"),
    "http.413": ("Too large", "文件过大"),
    "http.422": ("Not understood", "无法理解的请求"),
    "http.429": ("Too much at once", "请求过多"),
    "http.500": ("Something went wrong", "服务器出错"),
    "http.503": ("Not available at the moment", "暂时不可用"),
}
# fmt: on
