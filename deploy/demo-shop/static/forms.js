// What a form changes on the page before it is sent. The server knows all of it and says it again.

export function watchForms() {
  const picture = document.getElementById('picture');
  for (const radio of document.querySelectorAll('.swatches input')) {
    radio.addEventListener('change', () => {
      picture.src = radio.dataset.picture;
      picture.alt = `${document.querySelector('h1').textContent} in ${radio.dataset.name}`;
      document.getElementById('variant-name').value = radio.dataset.name;
      document.getElementById('price').textContent = radio.dataset.price;
    });
  }
  for (const radio of document.querySelectorAll('.method input')) {
    radio.addEventListener('change', () => {
      document.getElementById('sum-shipping').textContent = radio.dataset.shipping;
      document.getElementById('sum-total').textContent = radio.dataset.total;
      document.getElementById('sum-tax').textContent = radio.dataset.tax;
    });
  }
  for (const number of document.querySelectorAll('.set input[type=number]')) {
    number.addEventListener('change', () => number.form.requestSubmit());
  }
}
