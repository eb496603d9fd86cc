# The median over rounds of values[key], numbers with blanks between them; "" if there are none.
function median(key,    n, list, i, j, t) {
    n = split(values[key], list, " ")
    if (n == 0)
        return ""
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] + 0 > list[j] + 0; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return list[int((n + 1) / 2)] + 0
}
