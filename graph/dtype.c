#include "graph/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    uint8_t size;
    bool is_integer;
    int64_t min, max; /* of integers; u64 has no negative values and every other bit pattern */
} dtypes[TG_N_DTYPES] = {
    [TG_F16] = {"f16", 2, false, 0, 0},
    [TG_BF16] = {"bf16", 2, false, 0, 0},
    [TG_F32] = {"f32", 4, false, 0, 0},
    [TG_F64] = {"f64", 8, false, 0, 0},
    [TG_I8] = {"i8", 1, true, INT8_MIN, INT8_MAX},
    [TG_I16] = {"i16", 2, true, INT16_MIN, INT16_MAX},
    [TG_I32] = {"i32", 4, true, INT32_MIN, INT32_MAX},
    [TG_I64] = {"i64", 8, true, INT64_MIN, INT64_MAX},
    [TG_U8] = {"u8", 1, true, 0, UINT8_MAX},
    [TG_U16] = {"u16", 2, true, 0, UINT16_MAX},
    [TG_U32] = {"u32", 4, true, 0, UINT32_MAX},
    [TG_U64] = {"u64", 8, true, 0, INT64_MAX},
    [TG_C64] = {"c64", 8, false, 0, 0},
    [TG_C128] = {"c128", 16, false, 0, 0},
};

size_t tg_dtype_size(enum tg_dtype dtype)
{
    return (unsigned)dtype < TG_N_DTYPES ? dtypes[dtype].size : 0;
}

const char *tg_dtype_name(enum tg_dtype dtype)
{
    return (unsigned)dtype < TG_N_DTYPES ? dtypes[dtype].name : "?";
}

enum tg_dtype tgi_dtype_parse(const char *name, size_t length)
{
    int i = 0;
    while (i < TG_N_DTYPES && (strlen(dtypes[i].name) != length || memcmp(dtypes[i].name, name, length) != 0))
        i++;
    return (enum tg_dtype)i;
}

bool tgi_dtype_is_integer(enum tg_dtype dtype)
{
    return (unsigned)dtype < TG_N_DTYPES && dtypes[dtype].is_integer;
}

bool tgi_dtype_holds(enum tg_dtype dtype, int64_t value)
{
    return tgi_dtype_is_integer(dtype) && value >= dtypes[dtype].min && value <= dtypes[dtype].max;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t tgi_bf16_from_float(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40); /* keep a NaN a NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float tgi_bf16_to_float(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

uint16_t tgi_f16_from_float(float value)
{
    uint32_t bits = float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* rounds to 65520 or more: infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* subnormal: let the float adder round at the right bit */
        uint32_t rounded = float_bits(bits_float(magnitude) + 0.5f) - float_bits(0.5f);
        return (uint16_t)(sign | rounded);
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

float tgi_f16_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u)
        return bits_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x400u) { /* subnormal or zero: exact in float */
        float value = (float)magnitude * 0x1p-24f;
        return sign ? -value : value;
    }
    return bits_float(sign | ((magnitude << 13) + 0x38000000u));
}
