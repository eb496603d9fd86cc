/* Each task by operations for a byte and the rate it reached, both as declared by its kernel's cost.  Roofs are those of the
 * devices where the record has them, else the highest rates that were reached. */

const roofline = {tasks: [], spots: null};

function listCosts() {
    for (let t = 0; t < run.n; t++)
        if (hasWork(t) && run.flops[t] > 0 && run.bytes[t] > 0 && took(t) > 0)
            roofline.tasks.push(t);
}

function roofsOf() {
    const roofs = data.devices.filter(d => d.flop_per_s > 0 && d.byte_per_s > 0)
        .map(d => ({name: data.nodes[d.node], flops: d.flop_per_s / 1e9, bytes: d.byte_per_s / 1e9}));
    const isSame = r => r.flops === roofs[0].flops && r.bytes === roofs[0].bytes;
    if (roofs.length)
        return {isMeasured: false, roofs: roofs.every(isSame) ? [{...roofs[0], name: roofs.length > 1 ? 'each device' : roofs[0].name}] : roofs};
    const most = {name: 'highest', flops: 0, bytes: 0};
    for (const t of roofline.tasks) {
        most.flops = Math.max(most.flops, run.flops[t] / took(t));
        most.bytes = Math.max(most.bytes, run.bytes[t] / took(t));
    }
    return {isMeasured: true, roofs: [most]};
}

function limitsOf(roofs) {
    let x0 = Infinity, x1 = 0, y0 = Infinity, y1 = 0;
    for (const t of roofline.tasks) {
        const x = run.flops[t] / run.bytes[t], y = run.flops[t] / took(t);
        x0 = Math.min(x0, x), x1 = Math.max(x1, x), y0 = Math.min(y0, y), y1 = Math.max(y1, y);
    }
    for (const r of roofs)
        y1 = Math.max(y1, r.flops), x1 = Math.max(x1, r.flops / r.bytes);
    const down = v => 10 ** Math.floor(Math.log10(v) - 0.1), up = v => 10 ** Math.ceil(Math.log10(v) + 0.1);
    return {x0: down(x0), x1: up(x1), y0: down(y0), y1: up(y1)};
}

function drawRoofline() {
    if (!roofline.tasks.length)
        return;
    const canvas = byId('roofline'), height = 380, c = contextOf(canvas, height), width = widthOf(canvas);
    const {isMeasured, roofs} = roofsOf(), l = limitsOf(roofs), left = 92, bottom = height - 40;
    const x = v => left + (width - left - 14) * Math.log(v / l.x0) / Math.log(l.x1 / l.x0);
    const y = v => bottom - (bottom - 14) * Math.log(v / l.y0) / Math.log(l.y1 / l.y0);
    drawGrid(c, l, x, y, left, bottom, width);
    roofline.spots = new Map();
    for (const t of roofline.tasks) {
        const px = Math.round(x(run.flops[t] / run.bytes[t])), py = Math.round(y(run.flops[t] / took(t)));
        const key = (py >> 1) * 8192 + (px >> 1);
        if (roofline.spots.has(key))
            continue; /* there is one already */
        roofline.spots.set(key, t);
        c.fillStyle = fills[run.kernel[t]][LEVELS];
        c.fillRect(px - 2.5, py - 2.5, 5, 5);
        c.strokeStyle = '#00000040';
        c.lineWidth = 0.5;
        c.strokeRect(px - 2.5, py - 2.5, 5, 5);
    }
    c.strokeStyle = '#44566a';
    c.lineWidth = 1.4;
    c.setLineDash(isMeasured ? [5, 4] : []);
    c.beginPath();
    for (const r of roofs) {
        c.moveTo(x(Math.max(l.x0, l.y0 / r.bytes)), y(Math.max(l.y0, l.x0 * r.bytes)));
        c.lineTo(x(r.flops / r.bytes), y(r.flops));
        c.lineTo(x(l.x1), y(r.flops));
    }
    c.stroke();
    c.setLineDash([]);
    c.fillStyle = '#44566a';
    c.textAlign = 'right';
    for (const r of roofs)
        c.fillText(`${r.name}: ${formatRate(r.flops * 1e9, 'FLOP/s')}, ${formatRate(r.bytes * 1e9, 'B/s')}`, width - 16, y(r.flops) - 9);
}

function drawGrid(c, l, x, y, left, bottom, width) {
    const label = v => v >= 1000 || v < 0.01 ? v.toExponential(0) : String(+v.toPrecision(1));
    c.fillStyle = '#66707a';
    c.textAlign = 'center';
    for (let v = l.x0; v <= l.x1 * 1.01; v *= 10) {
        c.fillStyle = '#e4e7ea';
        c.fillRect(Math.round(x(v)), 10, 1, bottom - 10);
        c.fillStyle = '#66707a';
        c.fillText(label(v), x(v), bottom + 12);
    }
    c.fillText('FLOP for a byte', (left + width) / 2, bottom + 29);
    c.textAlign = 'right';
    for (let v = l.y0; v <= l.y1 * 1.01; v *= 10) {
        c.fillStyle = '#e4e7ea';
        c.fillRect(left, Math.round(y(v)), width - left, 1);
        c.fillStyle = '#66707a';
        c.fillText(formatRate(v * 1e9, 'FLOP/s'), left - 6, y(v));
    }
}

function spotAt(px, py) {
    let best = NONE, least = 60;
    for (let dy = -4; dy <= 4; dy++)
        for (let dx = -4; dx <= 4; dx++) {
            const t = roofline.spots && roofline.spots.get(((Math.round(py) >> 1) + dy) * 8192 + (Math.round(px) >> 1) + dx);
            if (t !== undefined && t !== null && dx * dx + dy * dy < least) {
                best = t;
                least = dx * dx + dy * dy;
            }
        }
    return best;
}

function makeRoofline() {
    const canvas = byId('roofline');
    listCosts();
    byId('roofline-part').hidden = !roofline.tasks.length;
    if (!roofline.tasks.length)
        return;
    byId('roofline-note').textContent = `${formatCount(roofline.tasks.length)} tasks of kernels that declare operations and bytes. ` +
        (roofsOf().isMeasured ? 'Dashed: the highest rates of this run; the record has none of the machine.' : 'Lines: what the devices state of themselves.');
    canvas.addEventListener('pointermove', e => {
        const t = spotAt(e.offsetX, e.offsetY);
        showTip(t === NONE ? '' : `${nameOf(t)}\n${formatRate(1e9 * run.flops[t] / took(t), 'FLOP/s')}, ` +
            `${formatRate(1e9 * run.bytes[t] / took(t), 'B/s')}, ${formatTime(took(t))}`, e);
    });
    canvas.addEventListener('pointerleave', hideTip);
    canvas.addEventListener('click', e => choose(spotAt(e.offsetX, e.offsetY), true));
}
