/* The schedule on a canvas: a row for each lane, below them what was running, what was ready and waited, and memory.  A frame
 * costs as much as there are pixels and tasks in view: what is narrower than a pixel is added up by columns. */

const LABELS = 138;     /* pixels left of the lanes */
const AXIS = 24, TRACK = 46, GAP = 3;
const RED = '#c8102e';
const LEVELS = 8;       /* of paleness */
const LEAST_SPAN = 20;  /* nanoseconds across */

const lanesShown = data.lanes.map((lane, i) => i).filter(i => tasksOf[i].length || (!data.lanes[i].is_stream && data.nodes.length === 1));
const rowHeight = lanesShown.length <= 4 ? 34 : lanesShown.length <= 24 ? 24 : lanesShown.length <= 72 ? 14 : 7;
const rowOf = new Map(lanesShown.map((lane, row) => [lane, row]));
const view = {from: 0, to: lastEnd};
const marked = {task: NONE, hits: null /* by task: 1 if the search found it */};
const fills = data.kernels.map(kernel => shadesOf(kernel.fill));

function shadesOf(fill) {
    const part = i => parseInt(fill.slice(1 + 2 * i, 3 + 2 * i), 16), shades = [];
    for (let level = 0; level <= LEVELS; level++) {
        const a = 0.12 + 0.88 * level / LEVELS;
        shades.push(`rgb(${[0, 1, 2].map(i => Math.round(part(i) * a + 243 * (1 - a))).join(',')})`);
    }
    return shades;
}

/* ---- What is below the lanes ------------------------------------------------------------- */

/* A number that changes at `times`; values[i] holds from times[i] on. */
function stepsOf(events) {
    events.sort((a, b) => a[0] - b[0]);
    const times = new Float64Array(events.length), values = new Float64Array(events.length);
    let n = 0, sum = 0, most = 0;
    for (const [time, change] of events) {
        sum += change;
        if (n && times[n - 1] === time)
            n--;
        times[n] = time;
        values[n++] = sum;
    }
    for (let i = 0; i < n; i++)
        most = Math.max(most, values[i]);
    return {times: times.subarray(0, n), values: values.subarray(0, n), most};
}

function countingSteps(from, to) {
    const events = [];
    for (let t = 0; t < run.n; t++)
        if (hasWork(t) && to[t] > from[t])
            events.push([from[t], 1], [to[t], -1]);
    return stepsOf(events);
}

function memorySteps(memory) {
    const at = new Numbers(memory.at), bytes = new Numbers(memory.bytes), n = memory.n;
    const steps = {times: new Float64Array(n), values: new Float64Array(n), most: 0};
    for (let i = 0, time = 0; i < n; i++) {
        steps.times[i] = time += at.next();
        steps.values[i] = bytes.next();
        steps.most = Math.max(steps.most, steps.values[i]);
    }
    return steps;
}

const tracks = [
    {name: 'running', unit: 'tasks', format: formatCount, fill: '#8fb8de', steps: countingSteps(run.start, run.end)},
    {name: 'ready, waiting', unit: 'tasks', format: formatCount, fill: '#e3bd6b', steps: countingSteps(run.ready, run.start)},
    ...data.memory.map(memory => ({name: memory.name, unit: 'in use', format: formatBytes, fill: '#a4cba0',
                                           steps: memorySteps(memory)}))];

/* ---- Geometry ---------------------------------------------------------------------------- */

const lanesCanvas = byId('lanes'), overviewCanvas = byId('overview');
const lanesHeight = AXIS + lanesShown.length * (rowHeight + GAP) + 8;
const wholeHeight = lanesHeight + tracks.length * (TRACK + 8) + 4;

function widthOf(canvas) { return canvas.clientWidth || 900; }
function timeAt(x, width) { return view.from + (view.to - view.from) * (x - LABELS) / (width - LABELS); }
function rowTop(row) { return AXIS + row * (rowHeight + GAP); }

function setView(from, to) {
    const span = Math.min(Math.max(to - from, LEAST_SPAN), lastEnd);
    from = Math.min(Math.max(from, 0), lastEnd - span);
    view.from = from;
    view.to = from + span;
    drawSoon();
}
function zoom(factor, at) {
    const middle = at === undefined ? (view.from + view.to) / 2 : at;
    setView(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
}
function show(t) {
    const span = Math.min(view.to - view.from, Math.max(took(t) * 40, lastEnd / 2000)), middle = (run.start[t] + run.end[t]) / 2;
    if (run.start[t] < view.from || run.end[t] > view.to || took(t) * 400 < view.to - view.from)
        setView(middle - span / 2, middle + span / 2);
}

let isDrawing = false;
function drawSoon() {
    if (!isDrawing)
        requestAnimationFrame(() => { isDrawing = false; draw(); });
    isDrawing = true;
}

/* A context of the size the canvas is shown in, with `height` of our pixels. */
function contextOf(canvas, height) {
    const ratio = window.devicePixelRatio || 1, width = widthOf(canvas);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.style.height = height + 'px';
    }
    const c = canvas.getContext('2d');
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = '11px system-ui, "Segoe UI", Arial, sans-serif';
    c.textBaseline = 'middle';
    return c;
}

function draw() {
    drawLanes();
    drawOverview();
}

/* ---- Lanes ------------------------------------------------------------------------------- */

function drawLanes() {
    const c = contextOf(lanesCanvas, wholeHeight), width = widthOf(lanesCanvas);
    drawAxis(c, width);
    for (const lane of lanesShown)
        drawLabel(c, lane, width);
    c.save();
    c.beginPath();
    c.rect(LABELS, 0, width - LABELS, wholeHeight);
    c.clip();
    for (const lane of lanesShown)
        drawLane(c, lane, width);
    if (byId('critical').checked)
        drawCritical(c, width);
    drawMarked(c, width);
    c.restore();
    tracks.forEach((track, i) => drawTrack(c, track, lanesHeight + i * (TRACK + 8), width));
}

/* A round distance that gives at most ten marks. */
function stepFor(span) {
    const decade = 10 ** Math.floor(Math.log10(span / 10));
    return [1, 2, 5, 10].map(f => f * decade).find(step => span / step <= 10);
}

function drawAxis(c, width) {
    const span = view.to - view.from, step = stepFor(span), scale = (width - LABELS) / span;
    c.textAlign = 'center';
    for (let i = Math.ceil(view.from / step); i * step <= view.to; i++) {
        const x = LABELS + (i * step - view.from) * scale;
        c.fillStyle = '#e4e7ea';
        c.fillRect(Math.round(x), AXIS - 6, 1, wholeHeight);
        c.fillStyle = '#66707a';
        if (x < width - 30 && x > LABELS + 10)
            c.fillText(formatMark(i * step, step), x, 9);
    }
}

/* As many digits as tell a mark from the next. */
function formatMark(ns, step) {
    const [scale, unit] = lastEnd >= 2e9 ? [1e9, 's'] : lastEnd >= 2e6 ? [1e6, 'ms'] : lastEnd >= 2e3 ? [1e3, 'us'] : [1, 'ns'];
    return (ns / scale).toFixed(Math.min(9, Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9)))) + ' ' + unit;
}

function drawLabel(c, lane, width) {
    const row = rowOf.get(lane), y = rowTop(row);
    c.fillStyle = '#f3f3f3';
    c.fillRect(LABELS, y, width - LABELS, rowHeight);
    if (rowHeight < 10 && row % 2)
        return;
    c.textAlign = 'right';
    c.fillStyle = '#1c2126';
    c.fillText(`${data.lanes[lane].name} · ${Math.round(100 * data.lanes[lane].busy_ns / lastEnd)} %`, LABELS - 8,
               y + rowHeight / 2);
}

function drawLane(c, lane, width) {
    const tasks = tasksOf[lane], y = rowTop(rowOf.get(lane)), scale = (width - LABELS) / (view.to - view.from);
    const parts = new Float64Array(data.kernels.length);
    let column = -1, touched = [], sum = 0;
    let fromX = 0, toX = 0, style = null; /* of columns that look the same */
    const put = () => {
        if (style)
            c.fillStyle = style, c.fillRect(fromX, y, toX - fromX, rowHeight);
        style = null;
    };
    const flush = () => {
        if (column < 0)
            return;
        let best = touched[0];
        for (const k of touched)
            best = parts[k] > parts[best] ? k : best;
        const level = marked.hits ? 1 : Math.round(LEVELS * Math.min(1, sum));
        const next = fills[best][level];
        if (next !== style || column !== toX) {
            put();
            fromX = column;
            style = next;
        }
        toX = column + 1;
        for (const k of touched)
            parts[k] = 0;
        touched = [];
        sum = 0;
        column = -1;
    };
    for (let i = firstAfter(tasks, view.from); i < tasks.length && run.start[tasks[i]] < view.to; i++) {
        const t = tasks[i], x = LABELS + (run.start[t] - view.from) * scale, w = took(t) * scale, k = run.kernel[t];
        if (w >= 1 || (marked.hits && marked.hits[t])) {
            flush();
            put();
            drawBar(c, t, x, y, Math.max(w, 1.5));
            continue;
        }
        if (Math.floor(x) !== column) {
            flush();
            column = Math.floor(x);
        }
        if (parts[k] === 0)
            touched.push(k);
        parts[k] += w;
        sum += w;
    }
    flush();
    put();
}

function drawBar(c, t, x, y, w) {
    const isDim = marked.hits && !marked.hits[t];
    c.fillStyle = fills[run.kernel[t]][isDim ? 1 : LEVELS];
    c.fillRect(x, y, w > 3 ? w - 0.5 : w, rowHeight);
    if (w < 28 || rowHeight < 12 || isDim)
        return;
    const from = Math.max(x, LABELS), room = Math.min(x + w, widthOf(lanesCanvas)) - from - 6, name = nameOf(t);
    const fits = Math.floor(room / 5.9);
    if (fits < 3)
        return;
    c.fillStyle = '#1c2126';
    c.textAlign = 'left';
    c.fillText(name.length <= fits ? name : name.slice(0, fits - 1) + '…', from + 3, y + rowHeight / 2);
}

/* A stripe below each of its tasks, and a line where it goes on in another lane. */
function drawCritical(c, width) {
    const scale = (width - LABELS) / (view.to - view.from), x = time => LABELS + (time - view.from) * scale;
    const stripe = rowHeight > 10 ? 3 : 2;
    let low = 0, high = criticalTasks.length, lastX = -1, lastRow = -1;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (run.end[criticalTasks[middle]] > view.from)
            high = middle;
        else
            low = middle + 1;
    }
    c.fillStyle = c.strokeStyle = RED;
    c.lineWidth = 1;
    c.beginPath();
    for (let i = Math.max(0, low - 1); i < criticalTasks.length; i++) {
        const t = criticalTasks[i], row = rowOf.get(run.lane[t]), at = x(run.start[t]), w = took(t) * scale;
        if (i > 0) {
            const before = criticalTasks[i - 1], other = rowOf.get(run.lane[before]);
            if (other !== row && at - lastX > 2) {
                c.moveTo(x(run.end[before]), rowTop(other) + rowHeight / 2);
                c.lineTo(at, rowTop(row) + rowHeight / 2);
                lastX = at;
            }
        }
        if (run.start[t] >= view.to)
            break;
        if (w >= 1 || row !== lastRow || Math.floor(at) !== Math.floor(lastX))
            c.fillRect(at, rowTop(row) + rowHeight - stripe, Math.max(w, 1), stripe);
        lastRow = row;
    }
    c.globalAlpha = 0.55;
    c.stroke();
    c.globalAlpha = 1;
}

/* The chosen task, and lines from what it waits for: thick from the one that ended last. */
function drawMarked(c, width) {
    const t = marked.task, row = t === NONE ? undefined : rowOf.get(run.lane[t]);
    if (row === undefined)
        return;
    const scale = (width - LABELS) / (view.to - view.from), x = time => LABELS + (time - view.from) * scale;
    const middle = rowTop(row) + rowHeight / 2;
    for (let i = run.first_pred[t]; i < Math.min(run.first_pred[t + 1], run.first_pred[t] + 200); i++) {
        const p = run.preds[i], other = rowOf.get(run.lane[p]);
        if (other === undefined)
            continue;
        const isLast = p === run.waited_for[t];
        c.strokeStyle = isLast ? '#22282e' : '#22282e66';
        c.lineWidth = isLast ? 1.8 : 0.8;
        c.beginPath();
        c.moveTo(x(run.end[p]), rowTop(other) + rowHeight / 2);
        c.lineTo(x(run.start[t]), middle);
        c.stroke();
    }
    c.strokeStyle = '#22282e';
    c.lineWidth = 2;
    c.strokeRect(x(run.start[t]) - 1, rowTop(row) - 1, Math.max(3, took(t) * scale) + 2, rowHeight + 2);
}

/* ---- Tracks and the strip of the whole --------------------------------------------------- */

/* The place of the last step at or before a time; -1: there is none. */
function stepAt(steps, time) {
    let low = 0, high = steps.times.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (steps.times[middle] <= time)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

function drawTrack(c, track, y, width) {
    const steps = track.steps, span = view.to - view.from, most = steps.most || 1;
    c.fillStyle = '#f8f9fa';
    c.fillRect(LABELS, y, width - LABELS, TRACK);
    c.textAlign = 'right';
    c.fillStyle = '#1c2126';
    c.fillText(track.name, LABELS - 8, y + TRACK / 2 - 7);
    c.fillStyle = '#66707a';
    c.fillText(`up to ${track.format(steps.most)}`, LABELS - 8, y + TRACK / 2 + 8);
    c.fillStyle = track.fill;
    let i = Math.max(0, stepAt(steps, view.from));
    for (let x = LABELS; x < width; x++) { /* the most in each column */
        const to = view.from + span * (x + 1 - LABELS) / (width - LABELS);
        let value = steps.times[i] < to ? steps.values[i] : 0;
        while (i + 1 < steps.times.length && steps.times[i + 1] < to)
            value = Math.max(value, steps.values[++i]);
        const h = value / most * (TRACK - 2);
        if (h > 0)
            c.fillRect(x, y + TRACK - h, 1, h);
    }
}

function drawOverview() {
    const height = 40, c = contextOf(overviewCanvas, height), width = widthOf(overviewCanvas), steps = tracks[0].steps;
    const scale = (width - LABELS) / lastEnd, n = Math.max(1, lanesShown.length);
    c.fillStyle = '#f3f3f3';
    c.fillRect(LABELS, 4, width - LABELS, height - 10);
    c.textAlign = 'right';
    c.fillStyle = '#66707a';
    c.fillText('lanes at work', LABELS - 8, height / 2);
    c.fillStyle = '#9aa7b4';
    let i = 0;
    for (let x = LABELS; x < width; x++) { /* the mean of each column */
        const from = (x - LABELS) / scale, to = from + 1 / scale;
        let area = 0, at = from;
        while (at < to && i < steps.times.length) {
            const next = i + 1 < steps.times.length ? steps.times[i + 1] : lastEnd, until = Math.min(next, to);
            if (until > Math.max(at, steps.times[i]))
                area += steps.values[i] * (until - Math.max(at, steps.times[i]));
            at = Math.max(at, until);
            if (next > to || i + 1 === steps.times.length)
                break;
            i++;
        }
        const h = Math.min(1, area * scale / n) * (height - 10);
        c.fillRect(x, height - 6 - h, 1, h);
    }
    c.fillStyle = '#1557a818';
    c.strokeStyle = '#1557a8';
    c.lineWidth = 1;
    const x = LABELS + view.from * scale, w = Math.max(2, (view.to - view.from) * scale);
    c.fillRect(x, 2, w, height - 5);
    c.strokeRect(Math.round(x) + 0.5, 2.5, Math.max(1, Math.round(w) - 1), height - 6);
}

/* ---- Pointer and keys -------------------------------------------------------------------- */

/* The task at a place of the canvas, or near it where tasks are narrower than can be hit. */
function taskAt(x, y) {
    const row = Math.floor((y - AXIS) / (rowHeight + GAP)), width = widthOf(lanesCanvas);
    if (x < LABELS || y < AXIS || row >= lanesShown.length)
        return NONE;
    const tasks = tasksOf[lanesShown[row]], slop = 2 * (view.to - view.from) / (width - LABELS), time = timeAt(x, width);
    let best = NONE, least = slop;
    for (let i = Math.max(0, firstAfter(tasks, time) - 1); i < tasks.length; i++) {
        const t = tasks[i], away = Math.max(run.start[t] - time, time - run.end[t], 0);
        if (run.start[t] > time + slop)
            break;
        if (away < least || (away === 0 && best === NONE)) {
            best = t;
            least = away;
        }
    }
    return best;
}

function hideTip() { byId('tip').hidden = true; }
function showTip(text, event) {
    const tip = byId('tip');
    tip.textContent = text;
    tip.hidden = !text;
    tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8) + 'px';
}

function tipFor(x, y) {
    const t = taskAt(x, y), time = timeAt(x, widthOf(lanesCanvas));
    if (t !== NONE)
        return `${nameOf(t)}\n${data.kernels[run.kernel[t]].name}, ${formatTime(took(t))} from ${formatMoment(run.start[t])}` +
            `, ready ${formatTime(queued(t))} before${isCritical(t) ? '\non the critical path' : ''}`;
    const i = Math.floor((y - lanesHeight) / (TRACK + 8));
    if (x < LABELS || i < 0 || i >= tracks.length)
        return '';
    const at = stepAt(tracks[i].steps, time);
    return `${tracks[i].name}: ${tracks[i].format(at < 0 ? 0 : tracks[i].steps.values[at])} at ${formatMoment(time)}`;
}

function listenToLanes() {
    let drag = null; /* where it began, and the view then */
    lanesCanvas.addEventListener('pointerdown', e => {
        drag = {x: e.offsetX, from: view.from, to: view.to, isMoved: false};
        lanesCanvas.setPointerCapture(e.pointerId);
    });
    lanesCanvas.addEventListener('pointermove', e => {
        if (!drag)
            return showTip(tipFor(e.offsetX, e.offsetY), e);
        const by = (drag.x - e.offsetX) * (drag.to - drag.from) / (widthOf(lanesCanvas) - LABELS);
        drag.isMoved = drag.isMoved || Math.abs(drag.x - e.offsetX) > 3;
        if (drag.isMoved) {
            hideTip();
            lanesCanvas.classList.add('moving');
            setView(drag.from + by, drag.to + by);
        }
    });
    lanesCanvas.addEventListener('pointerup', e => {
        lanesCanvas.classList.remove('moving');
        if (drag && !drag.isMoved)
            choose(taskAt(e.offsetX, e.offsetY), false);
        drag = null;
    });
    lanesCanvas.addEventListener('pointerleave', hideTip);
    lanesCanvas.addEventListener('dblclick', e => zoom(0.25, timeAt(e.offsetX, widthOf(lanesCanvas))));
    lanesCanvas.addEventListener('wheel', e => {
        const across = Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : e.shiftKey ? e.deltaY : 0;
        if (e.ctrlKey || e.metaKey)
            zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 100), timeAt(e.offsetX, widthOf(lanesCanvas)));
        else if (across)
            setView(view.from + across * (view.to - view.from) / 800, view.to + across * (view.to - view.from) / 800);
        else
            return; /* the page scrolls */
        e.preventDefault();
    }, {passive: false});
    lanesCanvas.addEventListener('keydown', e => {
        const step = (view.to - view.from) / 5;
        const keys = {'+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), '0': () => setView(0, lastEnd),
                      ArrowLeft: () => setView(view.from - step, view.to - step), ArrowRight: () => setView(view.from + step, view.to + step),
                      Escape: () => choose(NONE, false)};
        if (keys[e.key] && !e.ctrlKey && !e.metaKey && !e.altKey) {
            keys[e.key]();
            e.preventDefault();
        }
    });
}

/* A drag chooses a part; a click moves there. */
function listenToOverview() {
    const time = e => (e.offsetX - LABELS) * lastEnd / (widthOf(overviewCanvas) - LABELS);
    let from = null;
    overviewCanvas.addEventListener('pointerdown', e => {
        from = time(e);
        overviewCanvas.setPointerCapture(e.pointerId);
    });
    overviewCanvas.addEventListener('pointermove', e => {
        if (from !== null && Math.abs(time(e) - from) > lastEnd / 300)
            setView(Math.min(from, time(e)), Math.max(from, time(e)));
    });
    overviewCanvas.addEventListener('pointerup', e => {
        const half = (view.to - view.from) / 2;
        if (from !== null && Math.abs(time(e) - from) <= lastEnd / 300)
            setView(from - half, from + half);
        from = null;
    });
}
