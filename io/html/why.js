/* Why a task started when and where it did: what `tgraph why` says, for the task that was clicked on. */

const MOST_NAMED = 24; /* tasks in a list */

function choose(t, isShown) {
    marked.task = t;
    explain(t);
    if (t !== NONE && isShown && hasWork(t))
        show(t);
    if (t !== NONE && isShown)
        lanesCanvas.scrollIntoView({block: 'nearest'});
    drawSoon();
}

/* What the lane did between the moment the task was ready and its start. */
function lookAtLane(t) {
    const q = {busy: 0, n: 0, last: NONE};
    if (run.lane[t] < 0)
        return q;
    const tasks = tasksOf[run.lane[t]];
    for (let i = Math.max(0, firstAfter(tasks, run.ready[t]) - 1); i < tasks.length && run.start[tasks[i]] <= run.start[t]; i++) {
        const o = tasks[i];
        if (o === t)
            continue;
        if (q.last === NONE || run.end[o] > run.end[q.last])
            q.last = o;
        const by = Math.min(run.end[o], run.start[t]) - Math.max(run.start[o], run.ready[t]);
        if (by > 0) {
            q.busy += by;
            q.n++;
        }
    }
    return q;
}

/* By task, those that wait for it; made when first asked for. */
let successors = null;
function successorsOf(t) {
    if (!successors) {
        const first = new Uint32Array(run.n + 2), list = new Uint32Array(run.preds.length);
        for (const p of run.preds)
            first[p + 2]++;
        for (let i = 2; i < first.length; i++)
            first[i] += first[i - 1];
        for (let s = 0; s < run.n; s++)
            for (let i = run.first_pred[s]; i < run.first_pred[s + 1]; i++)
                list[first[run.preds[i] + 1]++] = s;
        successors = {first, list};
    }
    return successors.list.subarray(successors.first[t], successors.first[t + 1]);
}

function taskList(tasks) {
    const parts = [];
    for (let i = 0; i < Math.min(tasks.length, MOST_NAMED); i++)
        parts.push(i ? ', ' : '', taskLink(tasks[i]));
    if (tasks.length > MOST_NAMED)
        parts.push(` and ${formatCount(tasks.length - MOST_NAMED)} more`);
    return parts;
}

/* Why it is there: the lane's queue on CPUs, the estimate on devices. */
function explainPlace(t) {
    const rows = [], places = run.places.get(t);
    if (places) {
        const first = places[0], lane = data.lanes[run.lane[t]];
        const terms = p => `${formatTime(p.busy)} of work placed there + ${formatTime(p.move)} of copies`;
        rows.push(['placed', places.length > 1 ? formatTime(first.busy + first.move) : '',
                   [`on ${data.nodes[first.node]}, ${data.reasons[first.reason] || 'for a reason this page does not know'}`,
                    places.length > 1 ? `: ${terms(first)}` : '']]);
        for (const p of places.slice(1))
            rows.push(['rejected', formatTime(p.busy + p.move), [`${data.nodes[p.node]}: ${terms(p)}`]]);
        if (lane && lane.node !== first.node)
            rows.push(['moved', '', [`${data.nodes[lane.node]} took it over, having run dry`]]);
    }
    if (run.victim[t] >= 0)
        rows.push(['stolen', formatTime(queued(t)), [`in the queue of ${victimName(t)} before ${data.lanes[run.lane[t]].name} took it out`]]);
    return rows;
}

function victimName(t) {
    return run.victim[t] < data.lanes.length ? data.lanes[run.victim[t]].name : 'the thread that submits to devices';
}

function explainStart(t) {
    const q = lookAtLane(t), wait = queued(t), text = [];
    text.push(run.lane[t] >= 0 ? `on ${data.lanes[run.lane[t]].name}, ` : '', `${formatTime(wait)} later`);
    if (q.n > 0)
        text.push(`: ${formatTime(q.busy)} behind `, q.n > 1 ? `${q.n} tasks, the last ` : '', taskLink(q.last),
                  wait > q.busy ? `, ${formatTime(wait - q.busy)} idle` : '');
    else if (q.last !== NONE)
        text.push('; its lane was idle since the end of ', taskLink(q.last), ` at ${formatMoment(run.end[q.last])}`);
    else if (run.lane[t] >= 0)
        text.push('; the first of its lane');
    if (run.flags[t] & STOLEN && run.victim[t] < 0)
        text.push('; stolen from another worker');
    return ['start', formatMoment(run.start[t]), text];
}

function explainReady(t) {
    const w = run.waited_for[t], n = run.first_pred[t + 1] - run.first_pred[t];
    if (w === NONE)
        return ['ready', formatMoment(run.ready[t]), [n ? 'nothing that it waits for ran' : 'waits for nothing']];
    return ['ready', formatMoment(run.ready[t]), ['when ', taskLink(w), ' ended', run.lane[w] >= 0 ? ` on ${data.lanes[run.lane[w]].name}` : '',
                                                n > 1 ? `, the last of ${formatCount(n)}` : '']];
}

function explainRun(t) {
    const rows = [explainStart(t), ...explainPlace(t)], kernel = data.kernels[run.kernel[t]];
    for (const c of run.copies)
        if (c.task === t)
            rows.push(['copy', formatBytes(c.bytes), [`${data.buffers[c.buffer] || '?'} tile ${c.tile}, ${data.nodes[c.from]} → ${data.nodes[c.to]}`]]);
    rows.push(['end', formatMoment(run.end[t]), [`took ${formatTime(took(t))}`, kernel.n > 1 && hasWork(t)
        ? `; the median of ${kernel.name} is ${formatTime(kernel.median_ns)}` : '', run.attempts[t] > 1 ? `; ${run.attempts[t]} attempts` : '']]);
    if (data.knows_bounds)
        rows.push(isCritical(t)
            ? ['slack', 'none', [element('span', {className: 'critical'}, 'on the critical path'), `, which takes ${formatTime(data.critical_ns)}`]]
            : ['slack', formatTime(run.slack[t]), [`to the critical path, which takes ${formatTime(data.critical_ns)}`]]);
    return rows;
}

function explain(t) {
    const panel = byId('why');
    panel.hidden = t === NONE;
    if (t === NONE)
        return;
    const list = element('dl', {}), next = successorsOf(t), preds = run.preds.subarray(run.first_pred[t], run.first_pred[t + 1]);
    const rows = [explainReady(t), ...(ran(t) ? explainRun(t) : [])];
    if (preds.length)
        rows.push(['waits for', formatCount(preds.length), taskList(preds)]);
    if (next.length)
        rows.push(['before', formatCount(next.length), taskList(next)]);
    for (const [title, value, text] of rows)
        list.append(element('dt', {}, title), element('dd', {className: 'time'}, value), element('dd', {}, ...text));
    panel.replaceChildren(element('h3', {}, nameOf(t), ' ', element('small', {}, `${data.kernels[run.kernel[t]].name}, ${stateOf(t)}`)), list);
}
