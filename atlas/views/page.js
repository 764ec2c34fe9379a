"use strict";
// Copy buttons: each copies the statement it stands beside.
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(button.closest(".query").querySelector("pre"));
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
    // Pages opened from the file system have no clipboard; the selection can then be copied by hand.
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl+C";
  });
}
