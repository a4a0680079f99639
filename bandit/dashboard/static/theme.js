// Before anything is drawn: dark or light, as chosen, or else as the system has it.
const chosen = localStorage.getItem("copyloop-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
