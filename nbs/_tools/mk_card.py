"The picture that a link to the site shows, figures/card.png: mk_card.py"
from pathlib import Path
import matplotlib.pyplot as plt

blue, fig = "#125ba3", plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white")
fig.text(.07, .74, "mnreward", fontsize=64, color=blue, weight="bold")
fig.text(.07, .62, "Reward models from rankings of any length", fontsize=29, color="#222222")
fig.text(.07, .52, "A book that is also a package", fontsize=24, color="#444444")
fig.text(.5, .24, r"$L(x) = -\dfrac{1}{\binom{K}{2}}\sum_{i<j}\log\,\sigma\left(r(x, y_i) - r(x, y_j)\right)$",
         fontsize=34, color="#222222", ha="center", math_fontfamily="cm")
fig.savefig(Path(__file__).parents[1]/"figures/card.png", facecolor="white", metadata=dict(Software=None))
