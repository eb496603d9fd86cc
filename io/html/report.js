/* The page: what stands at the top, the search, and the start of everything. */

const MOST_HITS = 60; /* that are listed */

function makeHead() {
    const when = data.began_s ? new Date(data.began_s * 1000).toISOString().replace('T', ' ').slice(0, 19) + ' UTC' : '';
    const on = data.devices.length ? `${data.devices.length} device${data.devices.length === 1 ? '' : 's'} + ` : '';
    byId('title').textContent = document.title = data.name || 'graph';
    byId('what').textContent = [data.outcome || 'outcome unknown', `${on}${data.n_workers} worker${data.n_workers === 1 ? '' : 's'}`,
        data.policy && `policy ${data.policy}`, when, data.machine, data.version && `tgraph ${data.version}`].filter(Boolean).join(' · ');
    byId('notes').textContent = [data.is_unfinished ? 'The run did not end: what had is here.' : data.is_cut && 'The record was cut off: not all tasks are here.',
        data.n_lost_rounds && `${formatCount(data.n_lost_rounds)} rounds of control tasks were not recorded.`].filter(Boolean).join(' ');
}

function makeSummary() {
    const n = data.n_work, put = (value, title) => byId('summary').append(element('div', {}, element('b', {}, value), element('span', {}, title)));
    put(formatTime(data.makespan_ns), 'makespan');
    put(formatCount(n), n === 1 ? 'task executed' : 'tasks executed');
    if (data.makespan_ns)
        put(formatRate(1e9 * n / data.makespan_ns, ''), 'tasks a second');
    if (data.n_failed || data.n_not_run)
        put(`${formatCount(data.n_failed)}, ${formatCount(data.n_not_run)}`, 'failed, not run');
    if (data.knows_bounds)
        put(formatShare(data.bound_ns, data.makespan_ns), `efficient; binding: ${data.binding}`);
    const flops = data.kernels.reduce((sum, k) => sum + (k.flops || 0), 0);
    if (flops && data.makespan_ns)
        put(formatRate(1e9 * flops / data.makespan_ns, 'FLOP/s'), 'declared operations');
    if (data.moved_bytes)
        put(formatBytes(data.moved_bytes), `moved in ${formatCount(data.n_copied)} copies`);
    if (data.data_bytes)
        put(formatBytes(data.data_bytes), 'of data');
}

function makeBounds() {
    const most = Math.max(data.makespan_ns, 1);
    const put = (title, ns, kind) => {
        const bar = element('div', {className: 'bar'});
        bar.style.width = 100 * ns / most + '%';
        byId('bounds').append(element('div', {className: 'bound ' + kind}, element('span', {}, title),
            element('span', {className: 'value'}, formatTime(ns)), element('div', {className: 'room'}, bar)));
    };
    put('makespan', data.makespan_ns, 'whole');
    if (!data.knows_bounds)
        return;
    const list = what => data.bounds.filter(what).map(b => b.name).join(' and ');
    const missing = list(b => b.ns === null), beaten = list(b => b.is_beaten);
    data.bounds.filter(b => b.ns !== null).forEach(b => put(b.name, b.ns, data.binding === b.name ? 'binding' : ''));
    byId('bounds').append(element('p', {className: 'note'}, `Binding: ${data.binding}. No schedule takes less than ` +
        `${formatTime(data.bound_ns)}, ${formatShare(data.bound_ns, data.makespan_ns)} of what the run took. Critical path and area are ` +
        'of the durations that were measured, memory and links of the figures of a machine file.' +
        (missing && ` Bounds of ${missing} are not known: there was no machine file.`) +
        (beaten && ` The run beat the bound of ${beaten}: figures of the machine file are too low.`)));
}

function makeLegend() {
    data.kernels.forEach((k, i) => {
        if (k.n)
            byId('legend').append(element('span', {}, swatch(i), `${k.name}  ${formatTime(k.total_ns)}`));
    });
}

function search(text) {
    const hits = byId('hits'), needle = text.trim().toLowerCase();
    hits.hidden = !needle;
    marked.hits = null;
    byId('found').textContent = '';
    if (needle) {
        const found = [];
        marked.hits = new Uint8Array(run.n);
        for (let t = 0; t < run.n; t++)
            if (nameOf(t).toLowerCase().includes(needle)) {
                marked.hits[t] = 1;
                found.push(t);
            }
        byId('found').textContent = `${formatCount(found.length)} of ${formatCount(run.n)}`;
        hits.replaceChildren(...found.slice(0, MOST_HITS).map(taskLink));
        if (found.length > MOST_HITS)
            hits.append('…');
    }
    if (shownTable === 'tasks')
        showTable('tasks');
    drawSoon();
}

function listen() {
    byId('search').addEventListener('input', e => search(e.target.value));
    byId('search').addEventListener('keydown', e => {
        const first = byId('hits').querySelector('a.task');
        if (e.key === 'Enter' && first)
            first.click();
    });
    byId('critical').addEventListener('change', drawSoon);
    byId('zoom-in').addEventListener('click', () => zoom(0.5));
    byId('zoom-out').addEventListener('click', () => zoom(2));
    byId('zoom-all').addEventListener('click', () => setView(0, lastEnd));
    window.addEventListener('resize', () => { drawSoon(); drawRoofline(); });
    listenToLanes();
    listenToOverview();
}

makeHead();
makeSummary();
makeBounds();
makeLegend();
makeTabs();
makeMatrix();
makeRoofline();
listen();
draw();
drawRoofline();
