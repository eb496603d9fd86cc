/* Tables by kernel, lane, task and link; a click on a column's title sorts by it. */

const MOST_ROWS = 200;

/* A column: title, the value a row is sorted by, and what is shown if that is not the value. */
const TABLES = {
    kernels: () => ({rows: data.kernels.filter(k => k.n), sort: 2, columns: [
        ['kernel', k => k.name, k => [swatch(data.kernels.indexOf(k)), k.name]],
        ['tasks', k => k.n, k => formatCount(k.n)],
        ['total', k => k.total_ns, k => formatTime(k.total_ns)],
        ['median', k => k.median_ns, k => formatTime(k.median_ns)],
        ['IQR', k => k.iqr_ns, k => formatTime(k.iqr_ns)],
        ['shortest', k => k.min_ns, k => formatTime(k.min_ns)],
        ['longest', k => k.max_ns, k => formatTime(k.max_ns)],
        ['queued, mean', k => k.queued_ns / k.n, k => formatTime(k.queued_ns / k.n)],
        ['of critical path', k => k.critical_ns, k => formatShare(k.critical_ns, data.critical_ns)],
        ['rate', k => k.flops / k.total_ns, k => k.flops ? formatRate(1e9 * k.flops / k.total_ns, 'FLOP/s') : ''],
        ['variant', k => k.variant, k => k.variant]]}),
    lanes: () => ({rows: data.lanes.map((lane, i) => ({...lane, i})), sort: 0, isUp: true, columns: [
        ['lane', l => l.i, l => l.name],
        ['tasks', l => tasksOf[l.i].length, l => formatCount(tasksOf[l.i].length)],
        ['busy', l => l.busy_ns, l => formatShare(l.busy_ns, lastEnd)],
        ['busy time', l => l.busy_ns, l => formatTime(l.busy_ns)],
        ['steals', l => l.n_steals, l => formatCount(l.n_steals)],
        ['parks', l => l.n_parks, l => formatCount(l.n_parks)]]}),
    devices: () => ({rows: data.devices, sort: 0, isUp: true, columns: [
        ['device', d => d.node, d => data.nodes[d.node]],
        ['name', d => d.name, d => d.name],
        ['moved in', d => d.in_bytes, d => formatBytes(d.in_bytes)],
        ['moved out', d => d.out_bytes, d => formatBytes(d.out_bytes)],
        ['peak memory', d => d.peak_bytes, d => formatBytes(d.peak_bytes)]]}),
    tasks: () => ({rows: Array.from({length: run.n}, (_, t) => t).filter(t => marked.hits ? marked.hits[t] : hasWork(t)), sort: 4, columns: [
        ['task', t => nameOf(t), t => [taskLink(t)]],
        ['kernel', t => data.kernels[run.kernel[t]].name, t => [swatch(run.kernel[t]), data.kernels[run.kernel[t]].name]],
        ['lane', t => run.lane[t], t => run.lane[t] < 0 ? '' : data.lanes[run.lane[t]].name],
        ['start', t => run.start[t], t => formatMoment(run.start[t])],
        ['took', t => took(t), t => formatTime(took(t))],
        ['queued', t => queued(t), t => formatTime(queued(t))],
        ['slack', t => isCritical(t) ? -1 : run.slack[t], t => isCritical(t) ? 'critical' : formatTime(run.slack[t])],
        ['state', t => stateOf(t), t => stateOf(t)]]}),
    links: () => ({rows: linkList(), sort: 2, columns: [
        ['link', l => l.from * 1000 + l.to, l => `${data.nodes[l.from]} → ${data.nodes[l.to]}`],
        ['copies', l => l.n, l => formatCount(l.n)],
        ['bytes', l => l.bytes, l => formatBytes(l.bytes)]]}),
};

function linkList() {
    const links = new Map();
    for (const c of run.copies) {
        const key = c.from * 1000 + c.to, link = links.get(key) || {from: c.from, to: c.to, n: 0, bytes: 0};
        link.n++;
        link.bytes += c.bytes;
        links.set(key, link);
    }
    return [...links.values()];
}

let shownTable = 'kernels';
const order = {}; /* by table: column and direction, once chosen */

function compare(a, b) { return typeof a === 'string' ? a.localeCompare(b, 'en', {numeric: true}) : a - b; }

function showTable(name) {
    const table = TABLES[name](), by = order[name] || {column: table.sort, isUp: table.isUp || false};
    shownTable = name;
    for (const button of byId('tabs').children)
        button.className = button.textContent === name ? 'chosen' : '';
    const key = table.columns[by.column][1], rows = table.rows.map(row => [key(row), row]);
    rows.sort((a, b) => by.isUp ? compare(a[0], b[0]) : compare(b[0], a[0]));
    const head = element('tr', {}), body = element('tbody', {});
    table.columns.forEach(([title], i) => head.append(element('th', {
        textContent: title + (i === by.column ? by.isUp ? ' ▲' : ' ▼' : ''), className: i === by.column ? 'sorted' : '',
        onclick: () => { order[name] = {column: i, isUp: i === by.column ? !by.isUp : false}; showTable(name); }})));
    for (const [, row] of rows.slice(0, MOST_ROWS)) {
        const line = element('tr', {});
        for (const [title, , text] of table.columns) {
            const shown = text(row), cell = element('td', {}, ...(Array.isArray(shown) ? shown : [shown]));
            if (shown === 'critical')
                cell.className = 'critical';
            line.append(cell);
        }
        body.append(line);
    }
    const parts = [element('table', {}, element('thead', {}, head), body)];
    if (rows.length > MOST_ROWS)
        parts.push(element('p', {className: 'note'}, `the first ${MOST_ROWS} of ${formatCount(rows.length)}`));
    byId('table').replaceChildren(...parts);
}

function makeTabs() {
    const names = Object.keys(TABLES).filter(name => TABLES[name]().rows.length);
    for (const name of names)
        byId('tabs').append(element('button', {textContent: name, onclick: () => showTable(name)}));
    byId('tables-part').hidden = !names.length;
    if (names.length)
        showTable(names[0]);
}

/* ---- The matrix of links ----------------------------------------------------------------- */

function makeMatrix() {
    const links = linkList(), n = data.nodes.length, most = links.reduce((a, l) => Math.max(a, l.bytes), 0);
    byId('links-part').hidden = !links.length;
    if (!links.length)
        return;
    const head = element('tr', {}, element('th', {}, 'from \\ to')), body = element('tbody', {});
    for (let to = 0; to < n; to++)
        head.append(element('th', {}, data.nodes[to]));
    for (let from = 0; from < n; from++) {
        const line = element('tr', {}, element('td', {}, data.nodes[from]));
        for (let to = 0; to < n; to++) {
            const link = links.find(l => l.from === from && l.to === to);
            const cell = element('td', {className: link ? '' : 'none', textContent: link ? formatBytes(link.bytes) : '–'});
            if (link) {
                cell.style.backgroundColor = `rgba(230, 159, 0, ${0.1 + 0.7 * link.bytes / most})`;
                cell.title = `${formatCount(link.n)} copies`;
            }
            line.append(cell);
        }
        body.append(line);
    }
    byId('links').append(element('table', {}, element('thead', {}, head), body));
}
