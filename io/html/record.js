/* The record, as arrays by task.  The page carries columns of numbers, each as differences in variable-length bytes, in
 * base64; `run` is what becomes of them, also for who looks at it in a browser's console. */
'use strict';

const data = JSON.parse(document.getElementById('record').textContent);

/* Numbers one after the other: seven bits a byte, the low ones first. */
class Numbers {
    constructor(base64) {
        const text = atob(base64 || '');
        this.bytes = new Uint8Array(text.length);
        for (let i = 0; i < text.length; i++)
            this.bytes[i] = text.charCodeAt(i);
        this.at = 0;
    }
    next() {
        let value = 0, scale = 1, byte;
        do {
            byte = this.bytes[this.at++];
            value += (byte & 127) * scale;
            scale *= 128;
        } while (byte & 128);
        return value;
    }
    /* 0, -1, 1, -2, .. are 0, 1, 2, 3, .. */
    signed() {
        const value = this.next();
        return value % 2 ? -(value + 1) / 2 : value / 2;
    }
}

const FRAME = 1, STOLEN = 2, CRITICAL = 4, STATE_SHIFT = 3;
const STATES = ['not finished', 'done', 'failed', 'not run'];
const NONE = -1;

const run = decode(data);

function decode(d) {
    const n = d.n_tasks, c = {}, r = {n};
    for (const name in d.columns)
        c[name] = new Numbers(d.columns[name]);
    for (const name of ['start', 'end', 'ready', 'slack', 'flops', 'bytes'])
        r[name] = new Float64Array(n);
    for (const name of ['lane', 'kernel', 'waited_for', 'priority', 'victim'])
        r[name] = new Int32Array(n);
    r.flags = new Uint8Array(n);
    r.attempts = new Uint16Array(n);
    r.first_pred = new Uint32Array(n + 1);
    r.preds = new Uint32Array(d.n_preds);
    let start = 0;
    for (let t = 0, p = 0; t < n; t++) {
        r.start[t] = start += c.start.signed();
        r.end[t] = start + c.took.next();
        r.ready[t] = start - c.queued.signed();
        r.slack[t] = c.slack.next();
        r.lane[t] = c.lane.next() - 1;
        r.kernel[t] = c.kernel.next();
        r.flags[t] = c.flags.next();
        r.attempts[t] = c.attempts.next();
        r.priority[t] = c.priority.signed();
        const waited = c.waited_for.next();
        r.waited_for[t] = waited === 0 ? NONE : t - unzigzag(waited - 1);
        r.victim[t] = c.victim.next() - 1;
        r.flops[t] = c.flops ? c.flops.next() : 0;
        r.bytes[t] = c.bytes ? c.bytes.next() : 0;
        const more = c.n_preds.next();
        r.first_pred[t] = p;
        for (let i = 0; i < more; i++)
            r.preds[p++] = t - c.preds.signed();
        r.first_pred[t + 1] = p;
    }
    r.copies = decodeCopies(d.n_copies, c);
    r.places = decodePlaces(d.n_places, c);
    return r;
}

function unzigzag(value) { return value % 2 ? -(value + 1) / 2 : value / 2; }

function decodeCopies(n, c) {
    const copies = [];
    for (let i = 0, task = 0; i < n; i++) {
        const copy = {bytes: c.copy_bytes.next(), from: c.copy_from.next(), to: c.copy_to.next(), buffer: c.copy_buffer.next(),
                      tile: c.copy_tile.next(), task: NONE};
        const which = c.copy_task.next();
        if (which)
            copy.task = task += unzigzag(which - 1);
        copies.push(copy);
    }
    return copies;
}

/* By task: where it could have been placed, the place it got first. */
function decodePlaces(n, c) {
    const places = new Map();
    for (let i = 0, task = 0; i < n; i++) {
        task += c.place_task.next();
        if (!places.has(task))
            places.set(task, []);
        places.get(task).push({node: c.place_node.next(), reason: c.place_reason.next(), busy: c.place_busy.next(),
                               move: c.place_move.next()});
    }
    return places;
}

/* ---- Questions --------------------------------------------------------------------------- */

function nameOf(t) { return data.names[t] || '#' + t; }
function took(t) { return run.end[t] - run.start[t]; }
function ran(t) { return run.end[t] > 0; }
function hasWork(t) { return run.end[t] > 0 && !(run.flags[t] & FRAME) && run.lane[t] >= 0; }
function isCritical(t) { return (run.flags[t] & CRITICAL) !== 0; }
function stateOf(t) { return STATES[run.flags[t] >> STATE_SHIFT] || 'unknown'; }
function queued(t) { return Math.max(0, run.start[t] - run.ready[t]); }

/* By lane: its tasks in the order of time. */
const tasksOf = (() => {
    const lists = data.lanes.map(() => []);
    for (let t = 0; t < run.n; t++)
        if (hasWork(t))
            lists[run.lane[t]].push(t);
    return lists.map(list => Uint32Array.from(list).sort((a, b) => run.start[a] - run.start[b] || a - b));
})();
const lastEnd = Math.max(data.makespan_ns, 1, run.end.reduce((a, b) => Math.max(a, b), 0));
/* Tasks on the critical path, in the order of time. */
const criticalTasks = (() => {
    const numbers = new Numbers(data.columns.critical), tasks = new Uint32Array(data.n_critical);
    for (let i = 0, t = 0; i < tasks.length; i++)
        tasks[i] = t += numbers.signed();
    return tasks;
})();

/* The place in a lane's list of the first task that ends after a time. */
function firstAfter(tasks, time) {
    let low = 0, high = tasks.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (run.end[tasks[middle]] > time)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- Numbers as people read them --------------------------------------------------------- */

function digits(value) {
    return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
function scaled(value, steps) {
    let i = 0;
    while (i + 1 < steps.length && value >= steps[i + 1][0] * 0.9995)
        i++;
    return digits(value / steps[i][0]) + ' ' + steps[i][1];
}
const formatCount = n => n.toLocaleString('en-US');
const formatTime = ns => ns < 0 ? '-' + formatTime(-ns) : ns < 1000 ? Math.round(ns) + ' ns'
    : scaled(ns, [[1e3, 'us'], [1e6, 'ms'], [1e9, 's']]);
/* A point in time, to the nanosecond where the run was short enough: "207.531 ms". */
const formatMoment = ns => {
    const [scale, unit] = ns >= 1e9 ? [1e9, 's'] : ns >= 1e6 ? [1e6, 'ms'] : ns >= 1e3 ? [1e3, 'us'] : [1, 'ns'];
    return (ns / scale).toFixed(scale > 1 ? 3 : 0) + ' ' + unit;
};
const formatBytes = b => b < 1024 ? b + ' B' : scaled(b, [[1024, 'KiB'], [2 ** 20, 'MiB'], [2 ** 30, 'GiB'], [2 ** 40, 'TiB']]);
const formatRate = (value, unit) => scaled(value, [[1, unit], [1e3, 'k' + unit], [1e6, 'M' + unit], [1e9, 'G' + unit], [1e12, 'T' + unit]]);
const formatShare = (part, whole) => (whole ? 100 * part / whole : 0).toFixed(1) + ' %';

/* ---- Elements ---------------------------------------------------------------------------- */

/* Text is only ever text: what comes from a record never becomes markup. */
function element(tag, attributes, ...children) {
    const e = document.createElement(tag);
    Object.assign(e, attributes);
    e.append(...children);
    return e;
}
function byId(id) { return document.getElementById(id); }
function taskLink(t) {
    return element('a', {className: 'task', textContent: nameOf(t), onclick: () => choose(t, true)});
}
function swatch(kernel) {
    const mark = element('i', {});
    mark.style.background = data.kernels[kernel].fill;
    return mark;
}
