/** Outputs as people read them: formulas, wide tables, right-to-left text. */

const FORMULAS = String.raw`## Fitting the learning rate

The price falls by a fraction $1 - 2^{-b}$ with each doubling of the cumulative volume \(x\), with $b = 0.23 \pm 0.02$:

$$
p(x) = p_0 \left(\frac{x}{x_0}\right)^{-b}, \qquad \hat{b} = \arg\min_b \sum_{i=1}^{n} \left( \log p_i - \log p_0 + b \log \frac{x_i}{x_0} \right)^2
$$

In matrix form, with weights \(W = \operatorname{diag}(w_1, \dots, w_n)\):

\[
\hat{\beta} = (X^\top W X)^{-1} X^\top W y, \quad X = \begin{pmatrix} 1 & \log x_1 \\ \vdots & \vdots \\ 1 & \log x_n \end{pmatrix}
\]

\begin{align}
\operatorname{Var}(\hat\beta) &= \sigma^2 (X^\top W X)^{-1} \\
\sigma^2 &= \frac{1}{n-2} \sum_i w_i r_i^2
\end{align}

It costs $5 and $10 at first, later US$7 to US$9; in code, ${"`$x$ and \\(y\\)`"} stay as they are. An error, $\frac{1}{$, stays its source, and so does $\href{javascript:window.broken=true}{x}$.

| symbol | meaning | value |
|---|---|--:|
| $\sigma_{\max}$ | residual of $\lVert r \rVert_2$ | $1.7 \times 10^{-3}$ |
| $f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}$ | step | – |
`;

const COLUMNS = Array.from({ length: 14 }, (_, index) => `Quantity ${index + 1} (unit)`);

const TABLE = `# A wide table

The rows are sites, and the columns are what was measured at each of them.

| Site | ${COLUMNS.join(" | ")} |
|---|${"--:|".repeat(COLUMNS.length)}
${Array.from({ length: 9 }, (_, row) => `| Site number ${row + 1} in the north-east | ${COLUMNS.map((_, column) => (row * 37.5 + column * 11.25).toFixed(2)).join(" | ")} |`).join("\n")}

\`\`\`python
frame = pd.read_csv("sites.csv").groupby(["site", "year"], as_index=False).agg(energy=("energy_mwh", "sum"), peak=("power_mw", "max"), hours=("hours", "count"))
\`\`\`
`;

const ARABIC = `# ملخص النتائج

بلغت كثافة الطاقة في خلايا الصوديوم **165 واط ساعة/كغ** في عام 2024، وهي أقل من خلايا الليثيوم. انظر [0.0.4] للتفاصيل.

- الأقطاب الموجبة الطبقية هي السبب الرئيسي
- الكربون الصلب قريب من حده العملي

1. القياس في المختبر
2. القياس في الميدان مع \`fit(x)\` و $E = mc^2$

> قالت الدراسة إن النتائج أولية.

| السنة | الوسيط |
|---|--:|
| 2025 | 172 |
| 2030 | 210 |

And one paragraph in English, between the others.

שלום עולם, זהו משפט בעברית.
`;

const QUOTED = `The report says that prices ⟦"rose by 5 %"|report.pdf p.12|verified⟧ in 2024 [0.1]. A year later, the notes have it, they ⟦"fell by 6 %"|notes.md|altered⟧; nobody expected that.
`;

export const READING_TEXTS: Readonly<Record<string, string>> = { quotes: QUOTED, formulas: FORMULAS, table: TABLE, arabic: ARABIC };
